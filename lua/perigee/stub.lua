-- The perigee module as main sees it while it reads config.lua for its settings: what computes is
-- there (json, sha256, jwt …), what needs the server refuses, and nothing is logged or started. The
-- workers run the same file with the real module.

local proxy = require "perigee.proxy"
local schema = require "perigee.schema"
local strict = require "perigee.strict"

local M = {}

local function refuse(name, may)
  return function()
    error(("perigee.%s may not %s while config.lua loads"):format(name, may), 2)
  end
end

-- A table whose every member refuses.
local function refusing(name, may)
  return setmetatable({}, {
    __index = function(_, member)
      return refuse(name .. "." .. tostring(member), may)
    end,
    __metatable = false,
  })
end

local function nothing() end

---@param helpers table  what module.c opens
---@return table perigee
function M.new(helpers)
  local module = {
    after = nothing,
    every = nothing,
    log = { debug = nothing, info = nothing, warn = nothing, error = nothing },
    http = refusing("http", "wait"),
    redis = refusing("redis", "wait"),
    dict = function(name)
      return refusing(("dict %q"):format(tostring(name)), "be used")
    end,
  }
  for name, helper in pairs(helpers) do
    module[name] = module[name] or helper
  end
  module.sleep = refuse("sleep", "wait")
  for _, name in ipairs(schema.server_calls) do
    module[name] = refuse(name, "wait")
  end
  module.proxy = proxy.new(module)
  return strict.module("perigee", module)
end

return M

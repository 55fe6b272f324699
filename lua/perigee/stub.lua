-- The perigee module as main sees it while it reads config.lua for its settings: results can be
-- built, work cannot be done. The workers run the same file with the real module.

local proxy = require "perigee.proxy"
local schema = require "perigee.schema"

local M = {}

local HELPERS = { "jwt", "hmac", "sha256", "base64", "uuid", "json" }

local function refuse(name, may)
  return function()
    error(("perigee.%s may not %s while config.lua loads"):format(name, may), 2)
  end
end

-- A table whose every member refuses, and which refuses to be called.
local function refusing(name, may)
  return setmetatable({}, {
    __index = function(_, member)
      return refuse(name .. "." .. tostring(member), may)
    end,
    __call = refuse(name, may),
    __metatable = false,
  })
end

local function nothing() end

---@param version string
---@return table perigee
function M.new(version)
  local module = {
    error = function(code, message, temporary)
      return { code = code, message = message, temporary = temporary and true or false }
    end,
    disconnect_code = function(code, reason)
      return { code = code, reason = reason }
    end,
    version = version,
    now = os.time,
    env = function(name)
      return os.getenv(name)
    end,
    after = nothing,
    every = nothing,
    log = { debug = nothing, info = nothing, warn = nothing, error = nothing },
    http = refusing("http", "wait"),
    redis = refusing("redis", "wait"),
    dict = function(name)
      return refusing(("dict %q"):format(tostring(name)), "be used")
    end,
  }
  module.sleep = refuse("sleep", "wait")
  for _, name in ipairs(schema.server_calls) do
    module[name] = refuse(name, "wait")
  end
  for _, name in ipairs(HELPERS) do
    module[name] = refusing(name, "be used")
  end
  module.proxy = proxy.new(module)
  return setmetatable(module, {
    __index = function(_, name)
      error(("perigee.%s does not exist"):format(tostring(name)), 2)
    end,
  })
end

return M

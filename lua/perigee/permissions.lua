-- Asks the rules for every kind of asker, and gives the answers in the form that C keeps: one
-- number of allowed actions per asker, and for each decision its place in a list of reasons.

local loader = require "perigee.loader"
local rules = require "perigee.rules"
local schema = require "perigee.schema"

local M = {}

local CHANNEL = schema.index(schema.channel_options)

---@class perigee.Sources
---@field globals table                             the state's real globals
---@field read fun(path: string): string?, string?
---@field folders string[]                          beside config.lua, then those of lua.path
---@field modules table<string, any>                what require gives without looking

---The rules: a file perigee/rules.lua in lua.path replaces the built-in ones.
---@param sources perigee.Sources
---@return { explain: function }? module  nil: the file does not work
---@return string? where  the file's path, nil for the built-in ones; or what is wrong, as Lua says it
function M.rules(sources)
  for i = 2, #sources.folders do
    local path = loader.join(sources.folders[i], "perigee/rules.lua")
    local text = sources.read(path)
    if text then
      local modules = { ["perigee.rules"] = rules }
      for name, module in pairs(sources.modules) do
        modules[name] = module
      end
      local files = loader.new {
        globals = sources.globals, read = sources.read, folders = sources.folders, modules = modules,
      }
      local chunk, message = files.load(text, path)
      local ok, module = false, message
      if chunk then
        ok, module = pcall(chunk)
      end
      if ok and type(module) == "table" and type(module.explain) == "function" then
        return module, path
      end
      return nil, ok and path .. ":1: must return a table with a function explain" or module
    end
  end
  return rules
end

---@class perigee.Reasons
---@field list { option: string, cause: string }[]  the different ones
---@field index fun(option: string, cause: string): integer

---@return perigee.Reasons
function M.reasons()
  local list, index = {}, {}
  return {
    list = list,
    index = function(option, cause)
      local key = option .. "\n" .. cause
      if not index[key] then
        list[#list + 1] = { option = option, cause = cause }
        index[key] = #list
      end
      return index[key]
    end,
  }
end

---@param module { explain: function }  the rules
---@param path_of fun(option: string): string  where a channel option stands, for reasons
---@param values table<string, any>     complete channel options
---@param reasons perigee.Reasons
---@return { allow: integer[], why: integer[] }
function M.decide(module, path_of, values, reasons)
  local allow, why = {}, {}
  for bits = 0, (1 << #rules.BITS) - 1 do
    local who = rules.who(bits)
    local allowed_bits = 0
    for i, action in ipairs(rules.ACTIONS) do
      local allowed, option, cause = module.explain(values, who, action)
      option = tostring(option or "")
      if CHANNEL[option] then
        option = path_of(option)
      end
      allowed_bits = allowed_bits | (allowed and 1 << (i - 1) or 0)
      why[#why + 1] = reasons.index(option, tostring(cause or ""))
    end
    allow[bits + 1] = allowed_bits
  end
  return { allow = allow, why = why }
end

return M

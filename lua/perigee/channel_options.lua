-- The hook channel_options: what it returns is checked as the options of a namespace are, laid over
-- those of the channel's namespace, and the rules are asked about the result. Everything runs inside
-- the hook's own call, under its limits.

local check = require "perigee.check"
local permissions = require "perigee.permissions"
local schema = require "perigee.schema"
local suggest = require "perigee.suggest"
local value = require "perigee.value"

local CHANNEL = schema.index(schema.channel_options)
local NAMES = {}
for i, row in ipairs(schema.channel_options) do
  NAMES[i] = row.path
end

---What C gives; `place` is where it keeps the answer for one channel.
---@class perigee.ChannelOptionsNative
---@field namespace fun(index: integer): perigee.ChannelOptionsBase
---@field answer fun(value: any): "error"|"disconnect"|nil  is it a result of perigee.error …?
---@field regex_ok fun(text: string): boolean
---@field take fun(place: lightuserdata, index: integer, key: string): boolean  a row with this key is there already
---@field make fun(place: lightuserdata, index: integer, key: string, row: table)

---@class perigee.ChannelOptionsBase
---@field path string                   of the namespace
---@field values table<string, any>     its options, complete, in the form that C stores
---@field history_meta_ttl integer      channel.history_meta_ttl

local function unknown(name)
  local text = tostring(name)
  if schema.foreign_channel[text] then
    return schema.foreign_channel[text]
  end
  local near = suggest.nearest(text, NAMES)
  return "unknown channel option" .. (near and (" (did you mean %s?)"):format(near) or "")
end

-- The options that the hook gave, converted.
local function read(result, say)
  local given = {}
  for name, raw in next, result do
    local row = CHANNEL[name]
    if not row then
      say(name, unknown(name))
    elseif row.type == "hooks" then
      say(name, "cannot be given for a channel; put them into its namespace")
    end
    local converted, problem = value.convert(row, raw)
    if converted == nil then
      say(name, problem)
    elseif row.later and not value.equal(converted, value.default(row)) then
      say(name, "not supported yet")
    end
    given[name] = converted
  end
  return given
end

-- The same text for the same options, whatever the order they were given in.
local function key_of(given)
  local parts = {}
  for _, name in ipairs(NAMES) do
    local converted = given[name]
    if type(converted) == "table" then
      parts[#parts + 1] = name
      for _, item in ipairs(converted) do
        parts[#parts + 1] = ("%q"):format(item)
      end
    elseif converted ~= nil then
      parts[#parts + 1] = ("%s=%q"):format(name, converted)
    end
  end
  return table.concat(parts, "\n")
end

local function overlay(base, given)
  local values = {}
  for name, converted in pairs(base.values) do
    values[name] = converted
  end
  for name, converted in pairs(given) do
    values[name] = converted
  end
  return values
end

---@param native perigee.ChannelOptionsNative
---@param rules { explain: function }
return function(native, rules)
  local bases = {}

  local function compute(place, index, channel, result)
    local function say(name, problem)
      error(("channel %q: %s: %s"):format(channel, tostring(name), problem), 0)
    end
    local base = bases[index] or native.namespace(index)
    bases[index] = base
    local given = read(result, say)
    local key = key_of(given)
    if native.take(place, index, key) then
      return
    end
    local values = overlay(base, given)
    check.channel(values, base.history_meta_ttl, native.regex_ok, say)
    local reasons = permissions.reasons()
    local decisions = permissions.decide(rules, function(name)
      return given[name] ~= nil and "hooks.channel_options: " .. name or base.path .. "." .. name
    end, values, reasons)
    native.make(place, index, key, { values = values, rules = decisions, reasons = reasons.list })
  end

  ---Asks the namespace's own hook, then the common one. Returns what decides without a table.
  return function(place, index, own, common, channel)
    local result, failure
    if own then
      result, failure = own(channel)
    end
    if common and result == nil and failure == nil then
      result, failure = common(channel)
    end
    local answer = native.answer(result == nil and failure or result)
    if answer == "disconnect" then
      error(("channel %q: there is nobody to disconnect"):format(channel), 0)
    elseif answer or type(result) ~= "table" then
      return result, failure
    end
    compute(place, index, channel, result)
  end
end

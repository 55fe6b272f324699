-- Values of options: from Lua values and from text (environment, --set) to what C stores:
-- durations as whole milliseconds, sizes as bytes, words as the index of their enumerator.

local schema = require "perigee.schema"

local M = {}

local UNITS_MS = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }
local SIZES = { [""] = 1, B = 1, K = 1 << 10, KB = 1 << 10, M = 1 << 20, MB = 1 << 20, G = 1 << 30, GB = 1 << 30 }
local MAX_MS = 100 * 365 * 86400000 -- a century: far from any overflow in C
local MAX_SIZE = 1 << 46
local TRUE = { ["1"] = true, t = true, T = true, TRUE = true, ["true"] = true, True = true }
local FALSE = { ["0"] = true, f = true, F = true, FALSE = true, ["false"] = true, False = true }

---Seconds or text such as "1h30m" as milliseconds.
---@param value any
---@return integer?
---@return string? problem
function M.duration(value)
  local ms
  if type(value) == "number" then
    ms = value * 1000
  elseif type(value) == "string" then
    local sign, rest = value:match("^([-+]?)(.+)$")
    if rest and rest:match("^%d*%.?%d+$") then -- plain seconds, as a number would be
      ms = tonumber(rest) * 1000
    elseif rest then
      ms = 0
      repeat
        local number, unit, more = rest:match("^(%d*%.?%d+)(%a+)(.*)$")
        if not number or not UNITS_MS[unit] then
          return nil, 'expected a duration: seconds, or text such as "300ms", "25s", "10m", "1.5h"'
        end
        ms = ms + tonumber(number) * UNITS_MS[unit]
        rest = more
      until rest == ""
    end
    if ms and sign == "-" then
      ms = -ms
    end
  end
  if not ms then
    return nil, 'expected a duration: seconds, or text such as "300ms", "25s", "10m", "1.5h"'
  elseif ms ~= ms or ms > MAX_MS or ms < -MAX_MS then
    return nil, "this duration is out of range"
  end
  local whole = math.floor(ms + 0.5)
  if whole == 0 and ms ~= 0 then
    return nil, "durations below a millisecond are not possible"
  end
  return math.tointeger(whole)
end

---Bytes or text such as "64M" as bytes.
---@param value any
---@return integer?
---@return string? problem
function M.size(value)
  local bytes
  if type(value) == "number" then
    bytes = math.tointeger(value)
  elseif type(value) == "string" then
    local number, unit = value:match("^(%d*%.?%d+)%s*(%a*)$")
    local factor = unit and SIZES[unit:upper():gsub("IB$", "B")]
    bytes = factor and math.tointeger(math.floor(tonumber(number) * factor))
  end
  if not bytes then
    return nil, 'expected a size: bytes, or text such as "64K", "64M"'
  elseif bytes < 0 or bytes > MAX_SIZE then
    return nil, "this size is out of range"
  end
  return bytes
end

local function show(value)
  if type(value) == "string" then
    return ("%q"):format(#value > 40 and value:sub(1, 40) .. "…" or value)
  elseif type(value) == "table" or type(value) == "function" then
    return "a " .. type(value)
  end
  return tostring(value)
end

local function got(row, value)
  if row.type == "secret" or row.type == "pem" then
    return type(value) == "string" and "" or ", got a " .. type(value)
  end
  return ", got " .. show(value)
end

local converters = {}

function converters.bool(row, value)
  if type(value) ~= "boolean" then
    return nil, "expected true or false" .. got(row, value)
  end
  return value
end

function converters.int(row, value)
  if row.words and row.words[value] then
    return row.words[value]
  end
  local integer = type(value) == "number" and math.tointeger(value)
  if not integer then
    local word = row.words and next(row.words)
    local quoted = type(value) == "string" and value:match "^%d+$" and " (write it without quotes)" or ""
    return nil, "expected an integer" .. (word and (" or %q"):format(word) or "") .. got(row, value) .. quoted
  end
  return integer
end

function converters.string(row, value)
  if type(value) ~= "string" then
    return nil, "expected a string" .. got(row, value)
  elseif value:find("[\0-\31]") and row.type ~= "pem" then
    return nil, "control characters are not allowed here"
  end
  return value
end
converters.pem = converters.string

function converters.secret(row, value)
  if type(value) ~= "string" then
    return nil, "expected a string" .. got(row, value)
  end
  return value
end

function converters.duration(row, value)
  local ms, problem = M.duration(value)
  return ms, problem and problem .. got(row, value)
end

function converters.size(row, value)
  local bytes, problem = M.size(value)
  return bytes, problem and problem .. got(row, value)
end

function converters.enum(row, value)
  local word = row.aliases and row.aliases[value] or value
  for i, known in ipairs(row.values) do
    if word == known then
      return i - 1
    end
  end
  local words = {}
  for i, known in ipairs(row.values) do
    words[i] = ("%q"):format(known)
  end
  return nil, "expected one of " .. table.concat(words, ", ") .. got(row, value)
end

function converters.list(row, value)
  if type(value) == "string" and row.single then
    return { value }
  elseif type(value) ~= "table" then
    return nil, 'expected a list of strings, such as { "a", "b" }' .. got(row, value)
  end
  local list, count = {}, 0
  for _ in pairs(value) do
    count = count + 1
  end
  for i = 1, count do
    if type(value[i]) ~= "string" then
      return nil, 'expected a list of strings, such as { "a", "b" }'
    end
    list[i] = value[i]
  end
  return list
end

function converters.buckets(_, value)
  local problem = 'expected a list of buckets, such as { { interval = "1s", rate = 60 } }'
  if type(value) ~= "table" then
    return nil, problem
  end
  local list, count = {}, 0
  for _ in pairs(value) do
    count = count + 1
  end
  if count > schema.BUCKETS_MAX then
    return nil, ("at most %d buckets are possible"):format(schema.BUCKETS_MAX)
  end
  for i = 1, count do
    local bucket = value[i]
    if type(bucket) ~= "table" then
      return nil, problem
    end
    for name in pairs(bucket) do
      if name ~= "interval" and name ~= "rate" then
        return nil, ("a bucket has interval and rate, not %q"):format(tostring(name))
      end
    end
    local interval = M.duration(bucket.interval)
    local rate = type(bucket.rate) == "number" and math.tointeger(bucket.rate)
    if not interval or not rate or interval < 1 or rate < 1 then
      return nil, problem
    end
    list[i] = { interval = interval, rate = rate }
  end
  return list
end

local function in_range(row, value)
  local unit = row.type == "duration" and 1000 or 1
  local low = row.min or (row.type == "duration" or row.type == "size") and 0 or nil
  if low and value < low * unit then
    local word = row.words and next(row.words)
    return nil, ("must be at least %s%s%s"):format(low, unit == 1000 and " s" or "",
      word and (", or %q"):format(word) or "")
  elseif row.max and value > row.max * unit then
    return nil, ("must be at most %s%s"):format(row.max, unit == 1000 and " s" or "")
  end
  return true
end

---Checks a Lua value against its option.
---@param row perigee.Option
---@param value any
---@return any converted  nil when there is a problem
---@return string? problem
function M.convert(row, value)
  local converted, problem = converters[row.type](row, value)
  if converted == nil then
    return nil, problem
  end
  local is_word = row.words and row.words[value]
  if not is_word and (row.type == "int" or row.type == "duration" or row.type == "size") then
    local ok, range_problem = in_range(row, converted)
    if not ok then
      return nil, range_problem
    end
  end
  return converted
end

---The same for text from the environment or the command line.
---@param row perigee.Option
---@param text string
---@return any converted
---@return string? problem
function M.convert_text(row, text)
  local value = text
  if row.type == "bool" then
    if TRUE[text] then
      value = true
    elseif FALSE[text] then
      value = false
    end
  elseif row.type == "int" then
    value = text:match("^[-+]?%d+$") and math.tointeger(tonumber(text)) or text
  elseif row.type == "size" then
    value = text:match("^%d+$") and math.tointeger(tonumber(text)) or text
  elseif row.type == "list" then
    value = {}
    for word in text:gmatch("%S+") do
      value[#value + 1] = word
    end
  elseif row.type == "buckets" or row.type == "hooks" or row.type == "functions" then
    return nil, "can only be set in config.lua"
  end
  return M.convert(row, value)
end

---The default of an option in its stored form.
---@param row perigee.Option
function M.default(row)
  if row.default == nil then
    return nil
  elseif row.type == "int" then
    return row.default
  end
  local value, problem = converters[row.type](row, row.default)
  assert(value ~= nil, problem)
  return value
end

---Equality of stored values.
---@return boolean
function M.equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  if #a ~= #b then
    return false
  end
  for i = 1, #a do
    local x, y = a[i], b[i]
    if type(x) == "table" then
      if x.interval ~= y.interval or x.rate ~= y.rate then
        return false
      end
    elseif x ~= y then
      return false
    end
  end
  return true
end

return M

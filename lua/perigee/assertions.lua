-- What a test may claim. A claim that does not hold raises FILE:LINE, what was expected and what
-- there was.

local M = {}

---"FILE:LINE: " of the test's line that runs now; the tool fills it in.
function M.here()
  return ""
end

local DEPTH_MAX, ITEMS_MAX, TEXT_MAX = 8, 50, 400

local function sorted_keys(of)
  local keys = {}
  for key in pairs(of) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if math.type(a) and math.type(b) then
      return a < b
    end
    return type(a) == type(b) and tostring(a) < tostring(b) or type(a) < type(b)
  end)
  return keys
end

local function show_key(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" then
    return key .. " = "
  elseif math.type(key) == "integer" then
    return "[" .. key .. "] = "
  end
  return "[" .. M.show(key) .. "] = "
end

---A value as Lua would write it, cut where it is long.
---@param value any
---@param depth integer?
---@return string
function M.show(value, depth)
  depth = depth or 0
  if type(value) == "string" then
    return (("%q"):format(#value > TEXT_MAX and value:sub(1, TEXT_MAX) .. "…" or value):gsub("\\\n", "\\n"))
  elseif type(value) == "userdata" and tostring(value):match "^userdata: %(?nil%)?" then
    return "null"
  elseif type(value) ~= "table" then
    return tostring(value)
  elseif depth >= DEPTH_MAX then
    return "{ … }"
  end
  local parts, count = {}, #value
  for i = 1, math.min(count, ITEMS_MAX) do
    parts[i] = M.show(value[i], depth + 1)
  end
  for _, key in ipairs(sorted_keys(value)) do
    if not (math.type(key) == "integer" and key >= 1 and key <= count) and #parts < ITEMS_MAX then
      parts[#parts + 1] = show_key(key) .. M.show(value[key], depth + 1)
    end
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

local failure_text = {
  __tostring = function(raised)
    return raised.failure
  end,
}

---Raises text with the place of the test's line, as a table { failure = text }.
---@param text string
function M.fail(text)
  error(setmetatable({ failure = M.here() .. text }, failure_text))
end

local function path_text(path)
  return path == "" and "" or ("at %s: "):format(path)
end

-- Where two values differ first: a path such as ".info.user", or nil. partial: what expected does
-- not name may be anything.
local function difference(actual, expected, partial, path, seen)
  if actual == expected or actual ~= actual and expected ~= expected then
    return nil
  elseif type(actual) ~= "table" or type(expected) ~= "table" then
    return path, actual, expected
  elseif seen[actual] == expected then
    return nil
  end
  seen[actual] = expected
  for _, key in ipairs(sorted_keys(expected)) do
    local inner = path .. (math.type(key) and ("[%s]"):format(key) or "." .. tostring(key))
    local where, got, wanted = difference(actual[key], expected[key], partial, inner, seen)
    if where then
      return where, got, wanted
    end
  end
  for _, key in ipairs(partial and {} or sorted_keys(actual)) do
    if expected[key] == nil then
      return path .. (math.type(key) and ("[%s]"):format(key) or "." .. tostring(key)), actual[key], nil
    end
  end
end

local function compare(actual, expected, partial, note)
  local where, got, wanted = difference(actual, expected, partial, "", {})
  if not where then
    return
  end
  local text = ("%s%sexpected %s, got %s"):format(note and note .. ": " or "", path_text(where), M.show(wanted),
    M.show(got))
  if where ~= "" then
    text = text .. ("\n  expected: %s\n  got:      %s"):format(M.show(expected), M.show(actual))
  end
  M.fail(text)
end

---Both are the same, tables in all their fields.
---@param actual any
---@param expected any
---@param note string?  said in front when they are not
function M.equal(actual, expected, note)
  compare(actual, expected, false, note)
end

---Everything that expected names is the same in actual.
---@param actual any
---@param expected any
---@param note string?
function M.matches(actual, expected, note)
  compare(actual, expected, true, note)
end

---@param value any
---@param note string?
function M.truthy(value, note)
  if not value then
    M.fail(("%sexpected something true, got %s"):format(note and note .. ": " or "", M.show(value)))
  end
end

---@param value any
---@param note string?
function M.falsy(value, note)
  if value then
    M.fail(("%sexpected false or nil, got %s"):format(note and note .. ": " or "", M.show(value)))
  end
end

---The function raises an error whose text holds piece, taken literally.
---@param fn function
---@param piece string
function M.raises(fn, piece)
  local ok, message = pcall(fn)
  if ok then
    M.fail(("expected an error with %s, but none was raised"):format(M.show(piece)))
  elseif not tostring(message):find(piece, 1, true) then
    M.fail(("expected an error with %s, got %s"):format(M.show(piece), M.show(tostring(message))))
  end
end

---The server did what it was asked; returns the result.
---@param reply table  what a client's method or t.api returned
---@param note string?
---@return table reply
function M.allowed(reply, note)
  if type(reply) ~= "table" then
    M.fail("expected the reply of a client's method, got " .. M.show(reply))
  elseif reply.error then
    M.fail(("%sexpected to be allowed, but denied with %s"):format(note and note .. ": " or "", M.show(reply.error)))
  end
  return reply
end

---The server refused, with this code if one is given.
---@param reply table
---@param code integer?
---@param note string?
---@return table reply
function M.denied(reply, code, note)
  note = note and note .. ": " or ""
  local wanted = code and (" with %d"):format(code) or ""
  if type(reply) ~= "table" then
    M.fail("expected the reply of a client's method, got " .. M.show(reply))
  elseif not reply.error then
    M.fail(("%sexpected to be denied%s, but allowed: %s"):format(note, wanted, M.show(reply)))
  elseif code and reply.error.code ~= code then
    M.fail(("%sexpected to be denied%s, got %s"):format(note, wanted, M.show(reply.error)))
  end
  return reply
end

return M

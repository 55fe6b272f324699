-- Reads TOML 1.0 into Lua tables: everything but dates, which no configuration here has. Errors are
-- "line N: …". Arrays of values and of tables become sequences.

local M = {}

local DEPTH_MAX = 64
local ESCAPES = { b = "\b", t = "\t", n = "\n", f = "\f", r = "\r", ['"'] = '"', ["\\"] = "\\" }

---@class perigee.TomlReader
---@field text string
---@field at integer
---@field root table
---@field fixed table<table, true>    inline tables and arrays: complete where they stand
---@field headed table<table, true>   tables that had a header of their own
---@field dotted table<table, true>   tables that a dotted key made
local Reader = {}
Reader.__index = Reader

function Reader:fail(message)
  local _, lines = self.text:sub(1, self.at - 1):gsub("\n", "")
  error({ toml = ("line %d: %s"):format(lines + 1, message) }, 0)
end

function Reader:take(pattern)
  local found = self.text:match("^" .. pattern, self.at)
  if found then
    self.at = self.at + #found
  end
  return found
end

function Reader:next_is(text)
  return self.text:sub(self.at, self.at + #text - 1) == text
end

function Reader:expect(text)
  if not self:next_is(text) then
    self:fail(("%q expected"):format(text))
  end
  self.at = self.at + #text
end

function Reader:blanks()
  self:take "[ \t]*"
end

-- Blanks, comments and line ends.
function Reader:gap()
  repeat
    self:take "[ \t\r\n]*"
  until not self:take "#[^\n]*"
end

function Reader:line_end()
  self:blanks()
  self:take "#[^\n]*"
  if self.at <= #self.text and not self:take "\r?\n" then
    self:fail("the line does not end here")
  end
end

-- --- strings ----------------------------------------------------------------------------------------

function Reader:escape()
  local hex = self:take "\\u%x%x%x%x" or self:take "\\U%x%x%x%x%x%x%x%x"
  if hex then
    local code = tonumber(hex:sub(3), 16)
    if code > 0x10FFFF or code >= 0xD800 and code <= 0xDFFF then
      self:fail("not a character: " .. hex)
    end
    return utf8.char(code)
  end
  local character = ESCAPES[self.text:sub(self.at + 1, self.at + 1)]
  if not character then
    self:fail("unknown escape in a string")
  end
  self.at = self.at + 2
  return character
end

function Reader:basic_string(quotes)
  local multi, parts = #quotes == 3, {}
  self:expect(quotes)
  if multi then
    self:take "\r?\n"
  end
  while true do
    parts[#parts + 1] = self:take(multi and '[^"\\%z\1-\8\11-\31]+' or '[^"\\%z\1-\8\10-\31]+')
    if self:next_is(quotes) then
      -- up to two quotes may stand in front of the closing three
      local more = multi and self.text:match('^"""("*)', self.at) or ""
      parts[#parts + 1] = more:sub(1, 2)
      self.at = self.at + #quotes + math.min(#more, 2)
      return table.concat(parts)
    elseif multi and self:take "\\[ \t]*\r?\n[ \t\r\n]*" then
      parts[#parts + 1] = ""
    elseif self:next_is "\\" then
      parts[#parts + 1] = self:escape()
    elseif multi and self:next_is '"' then
      parts[#parts + 1] = self:take '"'
    elseif multi and self:take "\r\n" then
      parts[#parts + 1] = "\n"
    else
      self:fail("a string does not end")
    end
  end
end

function Reader:literal_string(quotes)
  self:expect(quotes)
  if #quotes == 3 then
    self:take "\r?\n"
  end
  local stop = self.text:find(quotes, self.at, true)
  local content = stop and self.text:sub(self.at, stop - 1)
  if not content or (#quotes == 1 and content:find "\n") then
    self:fail("a string does not end")
  end
  local more = #quotes == 3 and self.text:match("^'''('?'?)", stop) or ""
  self.at = stop + #quotes + #more
  return content .. more
end

function Reader:string()
  for _, quotes in ipairs { '"""', '"' } do
    if self:next_is(quotes) then
      return self:basic_string(quotes)
    end
  end
  for _, quotes in ipairs { "'''", "'" } do
    if self:next_is(quotes) then
      return self:literal_string(quotes)
    end
  end
end

-- --- values -----------------------------------------------------------------------------------------

local function digits_ok(text, set)
  return text:match("^" .. set) and text:match(set .. "$") and not text:find("__", 1, true)
    and not text:find("_[^%w]") and not text:find("[^%w]_")
end

function Reader:number(word)
  local plain = word:gsub("_", "")
  for prefix, set in pairs { ["0x"] = "%x", ["0o"] = "[0-7]", ["0b"] = "[01]" } do
    if word:sub(1, 2) == prefix then
      local digits = word:sub(3)
      local base = prefix == "0x" and 16 or prefix == "0o" and 8 or 2
      return digits_ok(digits, set) and tonumber(plain:sub(3), base)
    end
  end
  local body = word:gsub("^[-+]", "")
  if body == "inf" or body == "nan" then
    return body == "inf" and (word:sub(1, 1) == "-" and -math.huge or math.huge) or 0 / 0
  elseif not digits_ok(body, "%d") or body:match "^0[%d_]" then
    return nil
  elseif body:match "^[%d_]+$" then
    return math.tointeger(tonumber(plain))
  end
  local mantissa = body:match "^(.-)[eE][-+]?[%d_]+$" or body
  if mantissa:match "^[%d_]+%.[%d_]+$" or mantissa ~= body and mantissa:match "^[%d_]+$" then
    return tonumber(plain)
  end
end

function Reader:array(depth)
  local list = {}
  self.fixed[list] = true
  self:expect "["
  self:gap()
  while not self:next_is "]" do
    list[#list + 1] = self:value(depth + 1)
    self:gap()
    if not self:take "," and not self:next_is "]" then
      self:fail('"," or "]" expected')
    end
    self:gap()
  end
  self:expect "]"
  return list
end

function Reader:inline_table(depth)
  local result = {}
  self:expect "{"
  self:blanks()
  while not self:next_is "}" do
    self:pair(result, depth + 1)
    self:blanks()
    if self:take "," then
      self:blanks()
      if self:next_is "}" then
        self:fail('a key expected behind ","')
      end
    elseif not self:next_is "}" then
      self:fail('"," or "}" expected')
    end
  end
  self:expect "}"
  self.fixed[result] = true
  return result
end

function Reader:value(depth)
  if depth > DEPTH_MAX then
    self:fail("too deep")
  elseif self:next_is "[" then
    return self:array(depth)
  elseif self:next_is "{" then
    return self:inline_table(depth)
  end
  local text = self:string()
  if text then
    return text
  end
  local start = self.at
  local word = self:take "[%w_.+:-]+"
  if word == "true" or word == "false" then
    return word == "true"
  elseif word and (word:match "^%d%d%d%d%-%d%d%-%d%d" or word:match "^%d%d:%d%d:%d%d") then
    self:fail("dates are not supported; no option is one")
  end
  local number = word and self:number(word)
  if number == nil or number == false then
    self.at = start
    self:fail("a value expected")
  end
  return number
end

-- --- keys and tables ----------------------------------------------------------------------------------

function Reader:key()
  if self:next_is '"' then
    return self:basic_string '"'
  elseif self:next_is "'" then
    return self:literal_string "'"
  end
  return self:take "[%w_-]+" or self:fail("a key expected")
end

function Reader:keys()
  local path = {}
  repeat
    self:blanks()
    path[#path + 1] = self:key()
    self:blanks()
  until not self:take "%."
  return path
end

function Reader:pair(into, depth)
  local path = self:keys()
  self:expect "="
  self:blanks()
  for i = 1, #path - 1 do
    local inner = into[path[i]]
    if inner == nil then
      inner = {}
      self.dotted[inner] = true
      into[path[i]] = inner
    elseif type(inner) ~= "table" or not self.dotted[inner] then
      self:fail(("%s was given already"):format(path[i]))
    end
    into = inner
  end
  local last = path[#path]
  if into[last] ~= nil then
    self:fail(("%s was given already"):format(last))
  end
  into[last] = self:value(depth)
end

-- The table that a header's first parts lead to; of an array of tables the last one.
function Reader:walk(path)
  local at = self.root
  for i = 1, #path - 1 do
    local inner = at[path[i]]
    if inner == nil then
      inner = {}
      at[path[i]] = inner
    elseif type(inner) ~= "table" or self.fixed[inner] or self.dotted[inner] then
      self:fail(("%s is no table that can be continued"):format(path[i]))
    end
    at = inner[1] ~= nil and inner[#inner] or inner
  end
  return at, path[#path]
end

function Reader:header()
  local of_list = self:take "%[%["
  if not of_list then
    self:expect "["
  end
  local at, name = self:walk(self:keys())
  self:expect(of_list and "]]" or "]")
  local found = at[name]
  local result = {}
  if of_list then
    if found ~= nil and (type(found) ~= "table" or found[1] == nil or self.fixed[found]) then
      self:fail(("%s is no array of tables"):format(name))
    end
    at[name] = found or {}
    table.insert(at[name], result)
  elseif found == nil then
    at[name] = result
  elseif type(found) ~= "table" or self.headed[found] or self.fixed[found] or self.dotted[found] or found[1] ~= nil then
    self:fail(("%s was given already"):format(name))
  else
    result = found
  end
  self.headed[result] = true
  return result
end

---@param text string
---@return table? tree
---@return string? problem  "line N: …"
function M.read(text)
  local reader = setmetatable({ text = text, at = 1, root = {}, fixed = {}, headed = {}, dotted = {} }, Reader)
  local ok, problem = pcall(function()
    local into = reader.root
    reader:take "\xEF\xBB\xBF"
    reader:gap()
    while reader.at <= #text do
      if reader:next_is "[" then
        into = reader:header()
      else
        reader:pair(into, 1)
      end
      reader:line_end()
      reader:gap()
    end
  end)
  if ok then
    return reader.root
  elseif type(problem) == "table" and problem.toml then
    return nil, problem.toml
  end
  error(problem, 0)
end

return M

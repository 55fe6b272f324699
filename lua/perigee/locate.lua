-- Finds the line of a key in the text of config.lua, for messages. It reads the text as tokens and
-- looks at table constructors and plain assignments only: what is computed in another way has no
-- line of its own, and the nearest place above it is named instead.

local M = {}

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }
local BRACKETS = { ["("] = 1, ["["] = 1, ["{"] = 1, [")"] = -1, ["]"] = -1, ["}"] = -1 }
local MAX_DEPTH = 50

---@class perigee.Token
---@field kind "name"|"keyword"|"string"|"number"|"symbol"
---@field text string   a string's contents without its quotes
---@field line integer

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do
  KEYWORDS[word] = true
end

-- The end of a quoted string that begins at position at.
local function quoted(text, at)
  local quote, i = text:sub(at, at), at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == "\\" then
      i = i + 1
    elseif c == quote or c == "\n" then
      break
    end
    i = i + 1
  end
  return i
end

---@param text string
---@return perigee.Token[]
local function tokens(text)
  local list, at, line = {}, 1, 1

  local function skip_to(stop)
    local _, count = text:sub(at, stop):gsub("\n", "")
    line, at = line + count, stop + 1
  end

  local function add(kind, value, stop)
    list[#list + 1] = { kind = kind, text = value, line = line }
    skip_to(stop)
  end

  while at <= #text do
    local _, space = text:find("^%s+", at)
    local _, dashes = text:find("^%-%-", at)
    local level = text:match("^%[(=*)%[", (dashes or at - 1) + 1)
    local _, word = text:find("^[%a_][%w_]*", at)
    local _, number = text:find("^%.?%d[%w_.]*", at)
    local c = text:sub(at, at)
    if space then
      skip_to(space)
    elseif level then -- long string or comment
      local first = (dashes or at - 1) + #level + 3
      local stop, last = text:find("]" .. level .. "]", first, true)
      if dashes then
        skip_to(last or #text)
      else
        add("string", text:sub(first, (stop or #text + 1) - 1), last or #text)
      end
    elseif dashes then
      skip_to((text:find("\n", at, true) or #text + 1) - 1)
    elseif c == '"' or c == "'" then
      local stop = quoted(text, at)
      add("string", text:sub(at + 1, stop - 1), stop)
    elseif word then
      local value = text:sub(at, word)
      add(KEYWORDS[value] and "keyword" or "name", value, word)
    elseif number then
      add("number", text:sub(at, number), number)
    else
      add("symbol", c, at)
    end
  end
  return list
end

---@class perigee.Node
---@field line integer
---@field children table<string, perigee.Node>?  of a table constructor
---@field name string?                           the value is this variable

-- The index of the token after the expression that starts at i: the first `,` `;` `}` outside of
-- brackets and function bodies.
local function after_expression(list, i)
  local depth, blocks = 0, 0
  while list[i] do
    local token = list[i]
    if token.kind == "keyword" then
      blocks = blocks + (OPENS[token.text] and 1 or CLOSES[token.text] and -1 or 0)
    elseif token.kind == "symbol" then
      if depth == 0 and blocks == 0 and (token.text == "," or token.text == ";" or token.text == "}") then
        return i
      end
      depth = depth + (BRACKETS[token.text] or 0)
    end
    i = i + 1
  end
  return i
end

local function is(token, text)
  return token ~= nil and token.kind == "symbol" and token.text == text
end

local constructor

-- What stands behind `key =` or `return`, ending before index stop (nil: unknown).
local function value_node(list, i, line, depth)
  local node = { line = line }
  local token = list[i]
  if is(token, "{") and depth < MAX_DEPTH then
    node.children, i = constructor(list, i, depth + 1)
  elseif token and token.kind == "name" then
    node.name = token.text
  end
  return node, i
end

-- Reads `{ … }` at index i; returns its keyed fields and the index behind it.
function constructor(list, i, depth)
  local children, position = {}, 0
  i = i + 1
  while list[i] and not is(list[i], "}") do
    local token, key, value_at = list[i], nil, i
    if (token.kind == "name") and is(list[i + 1], "=") and not is(list[i + 2], "=") then
      key, value_at = token.text, i + 2
    elseif is(token, "[") and list[i + 1] and is(list[i + 2], "]") and is(list[i + 3], "=") then
      key, value_at = list[i + 1].text, i + 4
    elseif is(token, "[") then
      value_at = after_expression(list, i) -- a computed key has no name
    else
      position = position + 1
      key = tostring(position)
    end
    if key then
      children[key] = value_node(list, value_at, token.line, depth)
    end
    i = after_expression(list, value_at)
    if is(list[i], ",") or is(list[i], ";") then
      i = i + 1
    end
  end
  return children, i + 1
end

-- `a.b.c = value` at the file's own level enters c below a.b.
local function enter(variables, path, node)
  local at = variables[path[1]]
  if #path == 1 then
    variables[path[1]] = node
    return
  end
  for i = 2, #path - 1 do
    at = at and at.children and at.children[path[i]]
  end
  if at then
    at.children = at.children or {}
    at.children[path[#path]] = node
  end
end

-- Reads the dotted name at i; nil when no `=` follows it.
local function assigned(list, i)
  local path = { list[i].text }
  i = i + 1
  while is(list[i], ".") and list[i + 1] and list[i + 1].kind == "name" do
    path[#path + 1] = list[i + 1].text
    i = i + 2
  end
  if is(list[i], "<") then -- local x <const>
    i = i + 3
  end
  if is(list[i], "=") and not is(list[i + 1], "=") then
    return path, i + 1
  end
end

---@class perigee.Lines
---@field root perigee.Node
---@field variables table<string, perigee.Node>

---@param text string  the source of config.lua
---@return perigee.Lines
function M.scan(text)
  local list = tokens(text)
  local lines = { root = { line = 1 }, variables = {} }
  local blocks, i = 0, 1
  while list[i] do
    local token, next_at = list[i], i + 1
    if token.kind == "keyword" then
      if token.text == "return" and blocks == 0 then
        lines.root, next_at = value_node(list, i + 1, token.line, 0)
      else
        blocks = blocks + (OPENS[token.text] and 1 or CLOSES[token.text] and -1 or 0)
      end
    elseif token.kind == "name" and blocks == 0 and not is(list[i - 1], ".") then
      local path, value_at = assigned(list, i)
      if path then
        local node
        node, next_at = value_node(list, value_at, token.line, 0)
        enter(lines.variables, path, node)
      end
    end
    i = math.max(next_at, i + 1)
  end
  return lines
end

---The line of a key, or of the nearest table around it.
---@param lines perigee.Lines
---@param path string[]
---@return integer line
---@return boolean exact
function M.line(lines, path)
  local node = lines.root
  local found = node.line
  for i = 0, #path do
    local hops = 0
    while node.name and not node.children and lines.variables[node.name] and hops < MAX_DEPTH do
      node, hops = lines.variables[node.name], hops + 1
    end
    if i == #path then
      return found, true
    end
    local child = node.children and node.children[path[i + 1]]
    if not child then
      return found, false
    end
    node, found = child, child.line
  end
  return found, false
end

return M

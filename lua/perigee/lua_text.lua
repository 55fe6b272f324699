-- Writes Lua source for people: values, and tables whose members stand in a given order.

local M = {}

local WIDTH = 96
local KEYWORDS = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true "
  .. "until while"):gmatch "%a+" do
  KEYWORDS[word] = true
end

---A member of a table with an order: `key = value`, or lines of comment.
---@class perigee.TextNode
---@field keys string[]
---@field members table<string, perigee.TextNode|string>  a string is source
---@field comments table<string, string>                   a line above a member

---@return perigee.TextNode
function M.node()
  return { keys = {}, members = {}, comments = {} }
end

---Enters source below a path; makes the tables on the way.
---@param node perigee.TextNode
---@param path string[]
---@param source string
function M.enter(node, path, source)
  for i = 1, #path - 1 do
    local inner = node.members[path[i]]
    if not inner then
      inner = M.node()
      node.keys[#node.keys + 1] = path[i]
      node.members[path[i]] = inner
    end
    node = inner
  end
  local last = path[#path]
  if not node.members[last] then
    node.keys[#node.keys + 1] = last
  end
  node.members[last] = source
end

---@param key string|integer
function M.key(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" and not KEYWORDS[key] then
    return key
  end
  return "[" .. M.value(key) .. "]"
end

local function string_source(text)
  if text:find "\n" and not text:find("]]", 1, true) and not text:find "[%z\1-\9\11-\31]" then
    return "[[\n" .. text .. "]]"
  end
  return (("%q"):format(text):gsub("\\\n", "\\n"))
end

-- The members of a table as pairs { key or nil, value }: the list first, then names in their order.
local function members_of(table_value)
  local members, names = {}, {}
  for i, item in ipairs(table_value) do
    members[i] = { nil, item }
  end
  for key in pairs(table_value) do
    if not (math.type(key) == "integer" and key >= 1 and key <= #table_value) then
      names[#names + 1] = key
    end
  end
  table.sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(names) do
    members[#members + 1] = { key, table_value[key] }
  end
  return members
end

---The source of a value: a table's members come in the order of their names.
---@param value any
---@param indent string?  of the line that it begins in: a long table takes several lines then
---@return string
function M.value(value, indent)
  if type(value) == "string" then
    return string_source(value)
  elseif math.type(value) == "float" then
    return ("%.14g"):format(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local members, parts = members_of(value), {}
  local function source_of(inner)
    for i, member in ipairs(members) do
      parts[i] = (member[1] ~= nil and M.key(member[1]) .. " = " or "") .. M.value(member[2], inner)
    end
  end
  source_of(nil)
  local line = #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
  if not indent or #line + #indent <= WIDTH or #parts == 0 then
    return line
  end
  source_of(indent .. "  ")
  return "{\n" .. indent .. "  " .. table.concat(parts, ",\n" .. indent .. "  ") .. ",\n" .. indent .. "}"
end

-- The members on one line, or nil when that is too long.
local function inline(node, room)
  local parts, length = {}, 4
  for i, key in ipairs(node.keys) do
    local member = node.members[key]
    local source = type(member) == "string" and member or inline(member, room)
    if not source or source:find "\n" or node.comments[key] then
      return nil
    end
    parts[i] = M.key(key) .. " = " .. source
    length = length + #parts[i] + 2
  end
  return length <= room and (#parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }") or nil
end

---The lines of a table's members, each with a comma.
---@param node perigee.TextNode
---@param indent string
---@param apart boolean?  an empty line between members
---@return string
function M.members(node, indent, apart)
  local lines = {}
  for i, key in ipairs(node.keys) do
    local member, name = node.members[key], indent .. M.key(key) .. " = "
    if apart and i > 1 and (not node.comments[key] or node.comments[key] ~= node.comments[node.keys[i - 1]]) then
      lines[#lines + 1] = ""
    end
    if node.comments[key] and node.comments[key] ~= node.comments[node.keys[i - 1]] then
      lines[#lines + 1] = indent .. "-- " .. node.comments[key]
    end
    local source = type(member) == "string" and member or inline(member, WIDTH - #name)
    lines[#lines + 1] = name .. (source or "{\n" .. M.members(member, indent .. "  ") .. "\n" .. indent .. "}") .. ","
  end
  return table.concat(lines, "\n")
end

return M

-- Options that are kept in etcd or Consul: stronger than the file, weaker than the environment.
-- C fetches the keys; here each is entered where the file's options stand.

local schema = require "perigee.schema"

local M = {}

local PREFIX = "config_source."
local NAMES = { "etcd", "consul" } -- by the number that stands for the type

---The options of the source itself.
---@type perigee.Option[]
M.ROWS = {}
for _, row in ipairs(schema.options) do
  if row.path:sub(1, #PREFIX) == PREFIX then
    M.ROWS[#M.ROWS + 1] = row
  end
end

-- One key: text for one option, or decoded JSON for an option or a part of the tree.
local function read_key(loading, key, content, reading)
  local parts = {}
  for part in key:gmatch "[^/]+" do
    parts[#parts + 1] = part
  end
  local path = table.concat(parts, ".")
  if type(content) ~= "string" then
    for i = #parts, 1, -1 do
      content = { [parts[i]] = content }
    end
    if type(content) == "table" and content.config_source == nil then
      reading.read_table(loading, {}, content)
      return
    end
  elseif path:sub(1, #PREFIX) ~= PREFIX then
    local row, target, message = reading.resolve(loading, path)
    if row then
      reading.assign(loading, target, row, path, content, true, loading.key, 0)
    else
      reading.problem(loading, loading.key, 0, path ~= "" and path or nil,
        path == "" and "the value of the prefix itself must be a JSON object" or message)
    end
    return
  end
  reading.problem(loading, loading.key, 0, path,
    "the options of the source cannot stand in it, and its whole must be a JSON object")
end

---Enters what the source has. False: there is none, or it cannot be read, which is noted then.
---@param loading perigee.Loading
---@param own table<string, any>  the values of M.ROWS
---@param reading table           how config.lua reads
---@return boolean
function M.read(loading, own, reading)
  local name = NAMES[own[PREFIX .. "type"]]
  local at = loading.values[PREFIX .. "type"]
  local endpoint, prefix = own[PREFIX .. "endpoint"]:gsub("/$", ""), own[PREFIX .. "prefix"]
  if not name or not loading.request.fetch then
    return false
  elseif not endpoint:match "^https?://[^/?#]+$" then
    reading.problem(loading, at.where, at.line, PREFIX .. "endpoint", "must be a URL such as http://127.0.0.1:2379")
    return false
  elseif not prefix:match "^[%w._/-]*[%w._-]$" or #prefix > 200 then
    reading.problem(loading, at.where, at.line, PREFIX .. "prefix",
      "has letters, digits, and . _ - / of which no slash at its end")
    return false
  end
  local found, message = loading.request.fetch {
    type = own[PREFIX .. "type"], endpoint = endpoint, prefix = prefix, user = own[PREFIX .. "user"],
    password = own[PREFIX .. "password"], token = own[PREFIX .. "token"], timeout = own[PREFIX .. "timeout"],
  }
  if not found then
    reading.problem(loading, at.where, at.line, "config_source", message)
    return false
  end
  for _, pair in ipairs(found) do
    local key, content = pair[1], pair[2]
    loading.key = ("%s key %s%s"):format(name, prefix, key == "" and "" or "/" .. key)
    read_key(loading, key, content, reading)
  end
  loading.key = nil
  return true
end

return M

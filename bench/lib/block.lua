-- Puts the text of a file between <!-- NAME --> and <!-- /NAME --> of another.
-- Usage: lua5.4 block.lua FILE NAME TEXTFILE
local path, name, from = table.unpack(arg)

local function read(file_name)
  local file = assert(io.open(file_name))
  local text = file:read "a"
  file:close()
  return text
end

local text = read(path)
local opening, closing = "<!-- " .. name .. " -->\n", "<!-- /" .. name .. " -->"
local _, first = text:find(opening, 1, true)
local last = first and text:find(closing, first, true)
if not last then
  io.stderr:write(("%s: no block %s %s\n"):format(path, opening:sub(1, -2), closing))
  os.exit(1)
end
local file = assert(io.open(path, "w"))
file:write(text:sub(1, first), "\n", read(from), "\n", text:sub(last))
file:close()

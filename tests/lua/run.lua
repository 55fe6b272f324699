-- Runs Lua specs: lua5.4 tests/lua/run.lua [srcroot] [spec.lua...]. A spec returns a function that
-- gets `t` and enters its cases with t.case(name, fn). One line per failing case, then the sum.

local root = arg[1] or "."
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path

local passed, failed = 0, 0
local t = { root = root }
local spec

local function show(value, depth)
  if type(value) ~= "table" or (depth or 0) > 4 then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for k, v in pairs(value) do
    parts[#parts + 1] = tostring(k) .. " = " .. show(v, (depth or 0) + 1)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

function t.case(name, fn)
  local ok, message = xpcall(fn, function(raised)
    return type(raised) == "table" and raised.failure or debug.traceback(tostring(raised), 2)
  end)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print(("FAIL %s: %s: %s"):format(spec, name, (tostring(message):gsub("\n%s*", " | "))))
  end
end

local function fail(level, text, ...)
  local at = debug.getinfo(level + 1, "Sl")
  error({ failure = ("line %d: "):format(at.currentline) .. text:format(...) }, 0)
end

function t.equal(actual, expected)
  if show(actual) ~= show(expected) then
    fail(2, "expected %s, got %s", show(expected), show(actual))
  end
end

function t.truthy(value)
  if not value then
    fail(2, "expected something true, got %s", show(value))
  end
end

---The text holds this piece, taken literally.
function t.contains(text, piece)
  if type(text) ~= "string" or not text:find(piece, 1, true) then
    fail(2, "expected %s to hold %s", show(text), show(piece))
  end
end

---The call raises a message that holds this piece.
function t.raises(fn, piece)
  local ok, message = pcall(fn)
  if ok then
    fail(2, "expected an error with %s", show(piece))
  elseif not tostring(message):find(piece, 1, true) then
    fail(2, "expected an error with %s, got %s", show(piece), show(message))
  end
end

local specs = table.move(arg, 2, #arg, 1, {})
if #specs == 0 then
  local list = assert(io.popen(("ls '%s'/tests/lua/*_spec.lua"):format(root:gsub("'", "'\\''"))))
  for path in list:lines() do
    specs[#specs + 1] = path
  end
  list:close()
end
for _, path in ipairs(specs) do
  spec = path:match("([^/]+)%.lua$") or path
  t.case("the file loads", function()
    assert(loadfile(path, "t"))()(t)
  end)
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and passed > 0)

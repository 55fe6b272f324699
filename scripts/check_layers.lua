-- lua5.4 check_layers.lua [srcroot]: a folder of src/ includes only folders to its left, and
-- threads stay in the few files that know them. Prints every finding; exit 1 when there is one.

local root = arg[1] or "."

-- What each folder may include besides itself.
local ALLOWED = {}
do
  local below = {}
  for _, group in ipairs { { "base" }, { "codec", "loop" }, { "core" }, { "script" }, { "client" },
    { "transport" }, { "api" }, { "bind" }, { "cli" } } do
    for _, folder in ipairs(group) do
      ALLOWED[folder] = { [folder] = true }
      for name in pairs(below) do
        ALLOWED[folder][name] = true
      end
    end
    for _, folder in ipairs(group) do
      below[folder] = true
    end
  end
  below.cli = true
  ALLOWED.main = below
end

-- The files that may know threads and atomics (without .c and .h).
local THREADS = {
  ["loop/worker"] = true, ["loop/mailbox"] = true, ["core/publication"] = true,
  ["core/settings"] = true, ["core/metrics"] = true, ["core/dict"] = true, ["base/log"] = true,
  ["core/admission"] = true, -- limits of the whole node, asked before every upgrade: no mail is that quick
  ["core/user_limits"] = true, -- the same before a command, where users are limited
}
local THREAD_MARKS = { "<stdatomic%.h>", "%f[%w_]pthread_", "%f[%w_]_Atomic%f[^%w_]", "%f[%w_]uv_mutex",
  "%f[%w_]uv_rwlock", "%f[%w_]uv_thread_", "%f[%w_]__atomic_", "%f[%w_]__sync_", "<threads%.h>", "<pthread%.h>" }

local findings = 0
local function finding(path, line, text, ...)
  findings = findings + 1
  print(("%s:%d: %s"):format(path, line, text:format(...)))
end

-- A line without what stands in comments; state says whether a block comment is open.
local function code_of(line, in_comment)
  local code = ""
  while true do
    if in_comment then
      local _, stop = line:find("*/", 1, true)
      if not stop then
        return code, true
      end
      line, in_comment = line:sub(stop + 1), false
    end
    local start = line:find("/*", 1, true)
    local slashes = line:find("//", 1, true)
    if slashes and (not start or slashes < start) then
      return code .. line:sub(1, slashes - 1), false
    elseif not start then
      return code .. line, false
    end
    code, line, in_comment = code .. line:sub(1, start - 1), line:sub(start + 2), true
  end
end

local function check(path)
  local inner = path:match("src/(.+)$")
  local folder = inner:match("^([^/]+)/") or "main"
  local may = ALLOWED[folder]
  if not may then
    return finding(path, 1, "src/%s is not one of the layers", folder)
  end
  local number, in_comment, code = 0, false, nil
  for line in io.lines(path) do
    number = number + 1
    code, in_comment = code_of(line, in_comment)
    local target = code:match('^%s*#%s*include%s+"([^"]+)"')
    local other = target and target:match("^([^/]+)/")
    if other and not may[other] then
      finding(path, number, "%s may not include %s", folder, target)
    end
    if not THREADS[inner:gsub("%.[ch]$", "")] then
      for _, mark in ipairs(THREAD_MARKS) do
        if code:find(mark) then
          finding(path, number, "threads and atomics do not belong here (%s)", code:match(mark .. "[%w_]*"))
        end
      end
    end
  end
end

local list = assert(io.popen(("find '%s/src' -name '*.[ch]' | LC_ALL=C sort"):format(root:gsub("'", "'\\''"))))
local files = 0
for path in list:lines() do
  files = files + 1
  check(path)
end
list:close()
if files == 0 then
  print(root .. "/src: no C files")
  os.exit(1)
end
os.exit(findings == 0 and 0 or 1)

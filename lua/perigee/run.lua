-- perigee run: a user's own program, with the perigee module at hand. It may wait, and read and
-- write files; processes it may not start.

local loader = require "perigee.loader"
local raised = require "perigee.raised"
local remote = require "perigee.remote"
local strict = require "perigee.strict"

local M = {}

local IO = { "close", "input", "lines", "open", "output", "read", "stderr", "stdin", "stdout", "tmpfile", "type", "write" }
local OS = { "clock", "date", "difftime", "getenv", "remove", "rename", "time", "tmpname" }

local function some(of, names)
  local chosen = {}
  for _, name in ipairs(names) do
    chosen[name] = of[name]
  end
  return chosen
end

-- What the program returned, as an exit code: a number is one; nothing and true are 0.
local function exit_code(value, problem)
  if math.type(value) == "integer" and value >= 0 and value <= 255 then
    return value
  elseif value == false or value == nil and problem ~= nil or type(value) == "number" then
    return 1, problem
  end
  return 0
end

---@param driver table   of src/cli/driver.c and run.c
---@param perigee table  the module, not closed yet
function M.new(driver, perigee)
  local tool = {}
  local os = some(driver.os, OS)

  function os.exit()
    error("os.exit is not available; return the exit code", 2)
  end
  remote.install(perigee, driver.server)

  function tool.prepare(request)
    local folder = loader.folder(driver.path)
    request.folders = { folder == "" and "./" or folder }
    request.extra = {
      arg = driver.arg,
      io = strict.read_only(some(driver.io, IO), "io"),
      os = strict.read_only(os, "os"),
      print = function(...)
        local parts = table.pack(...)
        for i = 1, parts.n do
          parts[i] = tostring(parts[i])
        end
        driver.io.write(table.concat(parts, "\t"), "\n")
      end,
    }
  end

  local function complain(problem)
    driver.io.stderr:write("perigee run: ", tostring(problem), "\n")
  end

  function tool.run()
    local text, why = driver.read(driver.path)
    if not text then
      complain(("%s: %s"):format(driver.path, why))
      return 2
    end
    local chunk, problem = tool.loader.load(text:gsub("^#[^\n]*", "", 1), driver.path)
    if not chunk then
      complain(problem)
      return 1
    end
    local results = table.pack(xpcall(chunk, raised.handler(driver), table.unpack(driver.arg)))
    if not results[1] then
      complain(results[2])
      return 1
    end
    local code, message = exit_code(results[2], results[3])
    if message ~= nil then
      complain(type(message) == "table" and message.message or message)
    end
    return code
  end

  return tool
end

return M

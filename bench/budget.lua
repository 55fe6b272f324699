-- Turns the profiles that bench/budget made into figures, and compares them with the budgets.
-- Usage: lua5.4 budget.lua print|check|write BUDGETS FOLDER

local what, path, folder = table.unpack(arg)

--- A figure may exceed its budget by so much: the same compiler and C library, or others.
local TOLERANCE, TOLERANCE_ELSEWHERE = 0.05, 0.30

local function read(name)
  local file = assert(io.open(folder .. "/" .. name))
  local text = file:read "a"
  file:close()
  return text
end

local function total(name)
  return tonumber(read(name):match "\nsummary: (%d+)")
end

--- Instructions of a load, without the mark that ended it.
local function cost(label)
  return total(label .. ".dump") - total(label .. ".mark")
end

--- What one subscriber more costs, per publication: the difference between 20 and 220 of them.
local function per_delivery(label, publications)
  return (cost(label .. "_220") - cost(label .. "_20")) / (publications * 200)
end

--- How often a function was called in a load. Names are given once, then only numbers.
local function calls(label, wanted)
  local names, sum, called = {}, 0, nil
  for line in read(label .. ".dump"):gmatch "[^\n]+" do
    local id, name = line:match "^c?fn=(%(%d+%))%s*(.*)"
    if id then
      names[id] = name ~= "" and name:gsub("'%d+$", "") or names[id]
      called = line:sub(1, 1) == "c" and names[id] or called
    elseif called then
      local count = line:match "^calls=(%d+)"
      if count then
        sum = sum + (called == wanted and tonumber(count) or 0)
        called = nil
      end
    end
  end
  return sum
end

--- The highest of the runs: see bench/budget.
local function ping()
  local highest, run = 0, 1
  while io.open(("%s/ping_%d.json"):format(folder, run)) do
    local label = "ping_" .. run
    local each = tonumber(read(label .. ".json"):match '"pings_per_connection":([%d.]+)')
    local clients = tonumber(read(label .. ".json"):match '"connections":(%d+)')
    highest = math.max(highest, cost(label) / (each * clients))
    run = run + 1
  end
  return highest
end

local figures = {
  { "delivery", per_delivery("single", 300), "a delivery, one publication at a time" },
  { "delivery-16", per_delivery("flight", 1600), "a delivery, 16 publications in flight" },
  { "delivery-batch", per_delivery("batch", 2000), "a delivery of a batch of 100 publications" },
  { "publish", cost "publish" / 1000, "an API publish without subscribers, one at a time" },
  { "publish-16", cost "pipelined" / 1600, "the same with 16 requests in the pipe" },
  { "publish-history", cost "history" / 1000, "an API publish into a history of 100, one at a time" },
  { "connect", cost "connect" / 200, "accept, upgrade, connect with an HS256 token, subscribe" },
  { "ping", ping(), "a ping to an idle client and its pong" },
}

--- What may happen once for each publication, however many subscribers there are.
local once = {
  { "protobuf", "encode_push" },
  { "deflate", "encode_push" },
  { "deflate", "deflate" },
  { "delta", "encode_push" },
  { "delta", "fossil_encode" },
}
local PUBLICATIONS = 20

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "l"
  pipe:close()
  return text or "unknown"
end

local function toolchain()
  return ("%s, gcc %s, %s"):format(output "uname -m", output "gcc -dumpversion 2>/dev/null",
    output "getconf GNU_LIBC_VERSION")
end

local function budgets()
  local found, made_with = {}, nil
  local file = io.open(path)
  for line in file and file:lines() or function() end do
    made_with = made_with or line:match "^# counted with (.*)"
    local name, count = line:match "^([%w-]+)%s+(%d+)"
    if name then
      found[name] = tonumber(count)
    end
  end
  if file then
    file:close()
  end
  return found, made_with
end

local function write()
  local file = assert(io.open(path, "w"))
  file:write("# Instructions of the server, made by bench/budget --write; bench/README.md says how.\n",
    "# counted with ", toolchain(), "\n")
  for _, figure in ipairs(figures) do
    file:write(("%-16s %6.0f  %s\n"):format(table.unpack(figure)))
  end
  file:close()
end

local failed = 0
local function say(ok, text, ...)
  failed = failed + (ok and 0 or 1)
  print((ok and "ok - " or "not ok - ") .. text:format(...))
end

local function compare()
  local found, made_with = budgets()
  local same = made_with == toolchain()
  local tolerance = same and TOLERANCE or TOLERANCE_ELSEWHERE
  if not same then
    print(("# counted with %s, the budgets with %s: tolerance %.0f %%"):format(toolchain(),
      made_with or "nothing", tolerance * 100))
  end
  for _, figure in ipairs(figures) do
    local name, count, of = table.unpack(figure)
    local budget = found[name]
    local share = budget and (count / budget - 1) * 100 or 0
    say(budget and count <= budget * (1 + tolerance), "%s: %.0f instructions, budget %s (%+.1f %%): %s",
      name, count, budget or "missing", share, of)
  end
end

local function check_once()
  for _, row in ipairs(once) do
    local kind, fn = table.unpack(row)
    local few, many = calls(kind .. "_10", fn), calls(kind .. "_50", fn)
    say(few == PUBLICATIONS and many == few, "%s: %s ran %d times with 10 subscribers and %d with 50, for %d publications",
      kind, fn, few, many, PUBLICATIONS)
  end
end

if what == "write" then
  write()
end
compare()
check_once()
os.exit(what ~= "check" or failed == 0)

-- Reads the JSON lines that bench/run keeps, for table.lua and plot.lua.
local M = {}

--- The JSON that bench_load writes: no escapes but \" and \\.
local function json(text)
  local at = 1
  local value

  local function skip(pattern)
    local _, last = text:find("^%s*" .. pattern, at)
    if last then
      at = last + 1
    end
    return last ~= nil
  end

  local function quoted()
    local out = {}
    while true do
      local plain, stop = text:match('^([^"\\]*)(.)', at)
      assert(plain, "string without an end")
      out[#out + 1] = plain
      at = at + #plain + 1
      if stop == '"' then
        return table.concat(out)
      end
      out[#out + 1] = text:sub(at, at)
      at = at + 1
    end
  end

  local function object()
    local out = {}
    if skip "}" then
      return out
    end
    repeat
      assert(skip '"', "key expected")
      local key = quoted()
      assert(skip ":", "colon expected")
      out[key] = value()
    until not skip ","
    assert(skip "}", "object without an end")
    return out
  end

  function value()
    if skip "{" then
      return object()
    elseif skip '"' then
      return quoted()
    end
    local word = text:match("^%s*([%w%.%+%-]+)", at)
    assert(word, "value expected")
    skip "[%w%.%+%-]+"
    if word == "true" or word == "false" then
      return word == "true"
    end
    return tonumber(word) -- null: nil
  end

  return value()
end

--- Sorts the list; nil for an empty one.
function M.median(list)
  table.sort(list)
  local n = #list
  if n == 0 then
    return nil
  end
  return n % 2 == 1 and list[(n + 1) // 2] or (list[n // 2] + list[n // 2 + 1]) / 2
end

function M.field(line, path)
  for key in path:gmatch "[^.]+" do
    line = type(line) == "table" and line[key] or nil
  end
  return line
end

--- scenario name → { servers = names in order, runs = name → lines }, in order of appearance.
function M.read(path)
  local scenarios, order, last = {}, {}, nil
  for text in io.lines(path) do
    local line = json(text)
    local s = scenarios[line.name]
    if not s then
      s = { servers = {}, runs = {} }
      scenarios[line.name] = s
      order[#order + 1] = line.name
    end
    if not s.runs[line.label] then
      s.runs[line.label] = {}
      s.servers[#s.servers + 1] = line.label
    end
    table.insert(s.runs[line.label], line)
    last = line
  end
  return scenarios, order, last
end

--- The median of a field over the runs of one server; nil when no run has it.
function M.middle(runs, path)
  local values = {}
  for _, line in ipairs(runs or {}) do
    values[#values + 1] = M.field(line, path)
  end
  return M.median(values)
end

--- Whom the others are compared with: the floor, or the first server.
function M.base(scenario)
  return scenario.runs.floor or scenario.runs[scenario.servers[1]]
end

return M

-- perigee.http of a test: answers that the test has laid out, and no network.

local M = {}

local FIELDS = { method = "string", url = "string", headers = "table", body = "string", timeout = "number" }
local TIMEOUT_SECONDS = 10

-- "http://backend/users/*" as a pattern; without a star the URL itself.
local function matches(pattern, url)
  if not pattern:find("*", 1, true) then
    return pattern == url
  end
  return url:match("^" .. pattern:gsub("[%^$()%%.%[%]+?-]", "%%%0"):gsub("%*", ".*") .. "$") ~= nil
end

local function lower_names(headers)
  local copy = {}
  for name, value in pairs(headers or {}) do
    copy[name:lower()] = tostring(value)
  end
  return copy
end

local function check(request)
  for name, value in pairs(request) do
    if not FIELDS[name] then
      error(("perigee.http: unknown field %s"):format(tostring(name)), 4)
    elseif type(value) ~= FIELDS[name] then
      error(("perigee.http: %s must be a %s"):format(name, FIELDS[name]), 4)
    end
  end
  if not request.url or request.url == "" then
    error("perigee.http: url is missing", 4)
  end
end

---@param json table
---@param sleep fun(seconds: number)
---@return table fake  get and request; answer(url, answer[, failure]); requests
function M.new(json, sleep)
  local fake = { requests = {} }
  local answers = {} -- the newest last

  function fake.answer(url, answer, failure)
    answers[#answers + 1] = { url = url, answer = answer, failure = failure or "connection refused" }
  end

  local function find(url)
    for i = #answers, 1, -1 do
      if matches(answers[i].url, url) then
        return answers[i]
      end
    end
    return { failure = ("the test has no answer for %s; see t.http"):format(url) }
  end

  local function ask(request)
    check(request)
    local asked = {
      method = (request.method or "GET"):upper(), url = request.url, headers = lower_names(request.headers),
      body = request.body or "",
    }
    fake.requests[#fake.requests + 1] = asked
    local found = find(request.url)
    local answer, failure = found.answer, found.failure
    if type(answer) == "function" then
      answer, failure = answer(asked)
      failure = failure or found.failure
    end
    if answer == nil then
      return nil, failure
    elseif type(answer) == "string" then
      answer = { body = answer }
    end
    local timeout = request.timeout or TIMEOUT_SECONDS
    if answer.delay then
      sleep(math.min(answer.delay, timeout))
      if answer.delay >= timeout then
        return nil, "no answer in time"
      end
    end
    local body = answer.body or ""
    return {
      status = answer.status or 200, headers = lower_names(answer.headers),
      body = type(body) == "table" and json.encode(body) or body,
    }
  end

  function fake.get(url, options)
    local request = { url = url, method = "GET" }
    for name, value in pairs(options or {}) do
      request[name] = request[name] or value
    end
    return ask(request)
  end

  fake.request = ask
  return fake
end

return M

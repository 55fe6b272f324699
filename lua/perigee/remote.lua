-- The server calls of the perigee module in a program of its own (perigee run): requests to the API
-- of a running server.

local schema = require "perigee.schema"

local M = {}

local INTERNAL = 100

local function url_of(server)
  local address = server.address
  if address == "" or address == "0.0.0.0" then
    address = "127.0.0.1"
  elseif address == "::" then
    address = "::1"
  end
  return ("%s://%s:%d%s"):format(server.tls and "https" or "http",
    address:find(":", 1, true) and "[" .. address .. "]" or address, server.port, server.prefix)
end

-- nil and { code =, message = }, as every server call fails.
local function failed(message)
  return nil, { code = INTERNAL, message = message }
end

local function call(perigee, server, command, params)
  local url = url_of(server) .. "/" .. command
  local answer, problem = perigee.http.request {
    method = "POST", url = url, headers = { ["X-API-Key"] = server.key, ["Content-Type"] = "application/json" },
    body = perigee.json.encode(params),
  }
  if not answer then
    return failed(("%s: %s"):format(url, problem))
  elseif answer.status == 401 then
    return failed(("%s: the server has another http_api.key"):format(url))
  end
  local reply = perigee.json.decode(answer.body)
  if type(reply) ~= "table" or not (reply.result or reply.error) then
    return failed(("%s: HTTP status %d"):format(url, answer.status))
  elseif reply.error then
    return nil, reply.error
  end
  return reply.result
end

---Replaces the server calls of the module.
---@param perigee table
---@param server { address: string, port: integer, tls: boolean, prefix: string, key: string }?  nil: none is known
function M.install(perigee, server)
  for _, command in ipairs(schema.server_calls) do
    perigee[command] = function(params)
      if not server then
        error(("perigee.%s needs a running server; say whose: perigee run -c config.lua"):format(command), 2)
      end
      local short = type(params) == "string" and (command == "presence" or command == "history")
      if short then
        params = { channel = params, limit = command == "history" and -1 or nil }
      end
      local result, problem = call(perigee, server, command, params or {})
      if result and short then
        return command == "presence" and result.presence or result.publications
      end
      return result, problem
    end
  end
end

return M

-- Calls a function of the server. There are none built in: name your own under `api` in
-- config.lua, where each is a command of the HTTP API.

local errors = require "perigee.api.errors"

return {
  params = {
    { "method", "string" },
    { "params", "raw" },
  },
  result = {
    { "data", "raw" },
  },
  run = function(method)
    if method == "" then
      return nil, errors.bad_request
    end
    return nil, errors.not_found
  end,
}

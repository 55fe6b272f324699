-- Publishes the same data into many channels. The answers stand in the order of the request, each
-- with its own error.

local core = require "perigee.core"
local checks = require "perigee.api.checks"
local errors = require "perigee.api.errors"

return {
  params = {
    { "channels", "strings" },
    { "data", "raw" },
    { "b64data", "base64" },
    more = {
      { "skip_history", "bool" },
      { "tags", "string_map" },
      { "idempotency_key", "string" },
      { "delta", "bool" },
      { "version", "uint" },
      { "version_epoch", "string" },
    },
  },
  result = {
    { "responses", "raw" },
  },
  run = function(channels, data, b64data, more)
    if #channels == 0 or b64data == false then
      return nil, errors.bad_request
    end
    data = b64data or data
    local answers = core.gather(#channels)
    for i, channel in ipairs(channels) do
      local options, err, message = checks.channel(channel)
      if not options then
        answers:fail(i, err, message)
      elseif not checks.fits(options, data) then
        answers:fail(i, errors.bad_request)
      else
        answers:publish(i, options, channel, data, more)
      end
    end
    return answers:wait()
  end,
}

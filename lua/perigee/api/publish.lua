-- Publishes data into one channel. The backend may publish anywhere a namespace resolves.

local core = require "perigee.core"
local checks = require "perigee.api.checks"
local errors = require "perigee.api.errors"

return {
  params = {
    { "channel", "string" },
    { "data", "raw" },
    { "b64data", "base64" },
    { "skip_history", "bool" },
    { "tags", "string_map" },
    { "idempotency_key", "string" },
    { "delta", "bool" },
    { "version", "uint" },
    { "version_epoch", "string" },
  },
  result = {
    { "offset", "uint" },
    { "epoch", "string" },
  },
  run = function(channel, data, b64data, ...)
    if channel == "" or b64data == false then
      return nil, errors.bad_request
    end
    local options = core.namespace(channel)
    if not options then
      return nil, errors.unknown_channel
    end
    data = b64data or data
    if not checks.fits(options, data) then
      return nil, errors.bad_request
    end
    return core.publish(options, channel, data, ...)
  end,
}

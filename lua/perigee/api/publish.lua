-- Publishes data into one channel. The backend may publish anywhere a namespace resolves.

local core = require "perigee.core"
local checks = require "perigee.api.checks"
local errors = require "perigee.api.errors"

local options_of, publish, fits = core.options, core.publish, checks.fits

return {
  params = {
    { "channel", "string" },
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
    { "offset", "uint" },
    { "epoch", "string" },
  },
  run = function(channel, data, b64data, more)
    if channel == "" or b64data == false then
      return nil, errors.bad_request
    end
    local options, err, message = options_of(channel)
    if not options then
      return nil, err, message
    end
    data = b64data or data
    -- mostly any data will do: no call for that
    if (data == nil or options.publication_data_format ~= "") and not fits(options, data) then
      return nil, errors.bad_request
    end
    return publish(options, channel, data, more)
  end,
}

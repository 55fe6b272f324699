-- How do I give each channel its own options? `channel_options` is called at a channel's first use
-- and returns what differs from its namespace, in the same words. Its answer is remembered, so it
-- may look something up (perigee.http); channels with the same answer share it.
--
-- Here the name says what a room is: room:public.lobby, room:team.red, room:log.2024. Whatever else
-- is no room: an error in place of options refuses the channel to everybody, also to the server API.

local perigee = require "perigee"

local KINDS = {
  public = {
    allow_subscribe_for_client = true,
    allow_subscribe_for_anonymous = true,
  },
  team = {
    allow_subscribe_for_client = true,
    allow_publish_for_subscriber = true,
    presence = true,
    allow_presence_for_subscriber = true,
  },
  log = {
    allow_subscribe_for_client = true,
    history_size = 100,
    history_ttl = "24h",
    force_recovery = true,
  },
}

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = {
    token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" },
    allow_anonymous_connect_without_token = true,
  },
  channel = {
    options_cache_ttl = "10m", -- an answer is asked for again after that; 0: with the next reload
    namespaces = {
      room = {
        hooks = {
          channel_options = function(channel)
            local kind = channel:match "^room:(%l+)%.%w+$"
            return KINDS[kind] or perigee.error(102, "unknown channel")
          end,
        },
      },
    },
  },
}

-- Every rule against the order of the specification, written here a second time as plain tables.
return function(t)
  local rules = require "perigee.rules"

  local function who(...)
    local w = rules.who(0)
    for _, name in ipairs { ... } do
      assert(w[name] ~= nil, name)
      w[name] = true
    end
    return w
  end
  local function can(action, options, ...)
    return rules.decide(options, who(...))[action]
  end

  t.case("without options nothing is allowed to anybody", function()
    for bits = 0, 63 do
      local w = rules.who(bits)
      if not w.insecure and not (w.user_limited and w.user_listed) then
        t.equal(rules.decide({}, w), { subscribe = false, publish = false, presence = false, history = false })
      end
    end
  end)

  t.case("allow_subscribe_for_client lets users in, anonymous ones only with their own flag", function()
    local options = { allow_subscribe_for_client = true }
    t.equal(can("subscribe", options), true)
    t.equal(can("subscribe", options, "anonymous"), false)
    options.allow_subscribe_for_anonymous = true
    t.equal(can("subscribe", options, "anonymous"), true)
    t.equal(can("subscribe", { allow_subscribe_for_anonymous = true }, "anonymous"), false)
  end)

  t.case("a private channel is closed to everybody who has no token, insecure mode included", function()
    local open = { allow_subscribe_for_client = true, allow_subscribe_for_anonymous = true }
    t.equal(can("subscribe", open, "private"), false)
    t.equal(can("subscribe", open, "private", "insecure"), false)
    t.equal(can("subscribe", open, "private", "user_limited", "user_listed"), false)
  end)

  t.case("in a user-limited channel only the list and insecure mode count", function()
    local open = { allow_subscribe_for_client = true, allow_user_limited_channels = true }
    t.equal(can("subscribe", open, "user_limited"), false)
    t.equal(can("subscribe", open, "user_limited", "user_listed"), true)
    t.equal(can("subscribe", open, "user_limited", "insecure"), true)
  end)

  t.case("a private or user-limited name plays no role for publishing", function()
    local options = { allow_publish_for_client = true }
    t.equal(can("publish", options, "private"), true)
    t.equal(can("publish", options, "user_limited"), true)
  end)

  for _, action in ipairs { "publish", "presence", "history" } do
    t.case(action .. " follows for_client, for_subscriber, for_anonymous, insecure in this order", function()
      for mask = 0, 7 do
        local options = {
          ["allow_" .. action .. "_for_client"] = mask & 1 ~= 0,
          ["allow_" .. action .. "_for_subscriber"] = mask & 2 ~= 0,
          ["allow_" .. action .. "_for_anonymous"] = mask & 4 ~= 0,
        }
        for bits = 0, 63 do
          local w = rules.who(bits)
          local known = not w.anonymous or mask & 4 ~= 0
          local expected = mask & 1 ~= 0 and known or mask & 2 ~= 0 and w.subscribed and known or w.insecure
          t.equal(rules.decide(options, w)[action], expected)
        end
      end
    end)
  end

  t.case("explain agrees with decide and names an option every time", function()
    local names = {}
    for _, row in ipairs(require("perigee.schema").channel_options) do
      names[row.path] = true
    end
    names["client.insecure"], names["channel.private_prefix"] = true, true
    local options = { allow_subscribe_for_client = true, allow_history_for_subscriber = true }
    for bits = 0, 63 do
      local decision = rules.decide(options, rules.who(bits))
      for _, action in ipairs(rules.ACTIONS) do
        local allowed, option, cause = rules.explain(options, rules.who(bits), action)
        t.equal(allowed, decision[action])
        t.truthy(names[option])
        t.truthy(#cause > 0)
      end
    end
  end)

  t.case("a refusal names the option that would allow it", function()
    local function option_of(options, action, ...)
      local _, option = rules.explain(options, who(...), action)
      return option
    end
    t.equal(option_of({}, "subscribe"), "allow_subscribe_for_client")
    t.equal(option_of({ allow_subscribe_for_client = true }, "subscribe", "anonymous"),
      "allow_subscribe_for_anonymous")
    t.equal(option_of({}, "subscribe", "private"), "channel.private_prefix")
    t.equal(option_of({ allow_publish_for_client = true }, "publish", "anonymous"), "allow_publish_for_anonymous")
    t.equal(option_of({}, "history"), "allow_history_for_client")
  end)
end

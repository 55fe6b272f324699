-- Is a JWKS endpoint safe? Its placeholders are filled from claims before the token's signature is
-- checked, so whoever sends a token would choose where the server looks for keys. They may therefore
-- stand only for one of a few words written in the configuration: `(?P<tenant>red|blue)`.

local M = {}

local UNSAFE = { "[", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\p", "\\P" }

-- The alternatives of the named group, or what is wrong with it; nil when there is no such group.
local function words(pattern, name)
  local _, stop = pattern:find(("(?P<%s>"):format(name), 1, true)
  if not stop then
    return nil
  end
  local list, word, at = {}, "", stop + 1
  while true do
    local char = pattern:sub(at, at)
    if char == "\\" and pattern:sub(at + 1, at + 1):match "[.~_-]" then
      word, at = word .. pattern:sub(at + 1, at + 1), at + 1
    elseif char:match "[%w~_-]" then
      word = word .. char
    elseif char == "|" or char == ")" then
      if word == "" then
        return nil, "has an empty alternative"
      end
      list[#list + 1], word = word, ""
      if char == ")" then
        break
      end
    else
      return nil, "must list words: (?P<" .. name .. ">red|blue)"
    end
    at = at + 1
  end
  if pattern:sub(at + 1, at + 1):match "[*+?{]" then
    return nil, "may not be repeated or left out"
  end
  return list
end

-- Says what is wrong with one placeholder.
local function placeholder(values, prefix, name, say)
  if not name:match "^[%a_][%w_]*$" then
    say("jwks_public_endpoint", ("{{%s}} is not the name of a group"):format(name))
    return
  end
  for _, option in ipairs { "issuer_regex", "audience_regex" } do
    local list, wrong = words(values[prefix .. option], name)
    if list then
      return
    elseif wrong then
      say(option, ("the group %s fills jwks_public_endpoint from an unverified claim: it %s"):format(name, wrong))
      return
    end
  end
  say("jwks_public_endpoint", ("{{%s}} is no named group of issuer_regex or audience_regex"):format(name))
end

-- Says what is wrong with the endpoint of client.token or client.subscription_token.
---@param values table<string, any>
---@param prefix string
---@param say fun(option: string, message: string)
function M.check(values, prefix, say)
  local endpoint = values[prefix .. "jwks_public_endpoint"]
  if endpoint == "" then
    return
  end
  local filled, count = endpoint:gsub("{{.-}}", "x")
  local authority = filled:match "^[hH][tT][tT][pP][sS]?://([^/?#]+)"
  if not authority or authority:find("@", 1, true) or filled:find "[^\33-\126]" then
    say("jwks_public_endpoint", "is not an http or https URL")
  elseif filled:find "[{}]" then
    say("jwks_public_endpoint", "a placeholder is written {{name}}")
  end
  if count == 0 or values[prefix .. "insecure_skip_jwks_endpoint_safety_check"] then
    return
  end
  for _, option in ipairs { "issuer_regex", "audience_regex" } do
    for _, unsafe in ipairs(UNSAFE) do
      if values[prefix .. option]:find(unsafe, 1, true) then
        say(option, ("has %s, which is not safe together with placeholders in jwks_public_endpoint"):format(unsafe))
      end
    end
  end
  for name in endpoint:gmatch "{{(.-)}}" do
    placeholder(values, prefix, name, say)
  end
end

return M

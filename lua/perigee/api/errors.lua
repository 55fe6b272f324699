-- The errors of the server API. A command returns `nil, errors.<name>`.

---@class perigee.api.Errors
return {
  internal = 100,
  unknown_channel = 102,
  not_found = 104,
  bad_request = 107,
  not_available = 108,
  unrecoverable_position = 112,
}

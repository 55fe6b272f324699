---@meta perigee
-- Types of the perigee module for editors that speak LuaLS. Written by hand;
-- tests/e2e/meta_types.test.mjs compares the names with those of a running server.

---@class perigee
---@field version string
local perigee = {}

-- --- results --------------------------------------------------------------------------------------

---What a failed server call gives beside nil.
---@class perigee.Failure
---@field code integer
---@field message string
---@field temporary? boolean

---@class perigee.Error: perigee.Failure
---@class perigee.Disconnect
---@field code integer
---@field reason string

---An error for a hook to return: 100…2999, of your own 400…1999.
---@param code integer
---@param message string
---@param temporary? boolean  clients may try again
---@return perigee.Error
function perigee.error(code, message, temporary) end

---A disconnect for a hook to return: 3000…4999.
---@param code integer
---@param reason string  at most 123 bytes
---@return perigee.Disconnect
function perigee.disconnect_code(code, reason) end

-- --- what hooks see and return --------------------------------------------------------------------

---A connected client. Reading it raises when it is gone.
---@class perigee.Client
---@field id string
---@field user string            "" is the anonymous user
---@field info any               decoded, or nil
---@field meta any               decoded, or nil
---@field transport string
---@field protocol "json"|"protobuf"
---@field headers table<string, string>           of its request; names in lower case
---@field emulated_headers table<string, string>  of its connect command: the client's word only
---@field ip string
---@field channels string[]
local Client = {}

---@param data any
function Client:send(data) end

---@param code? integer  default 3503
---@param reason? string
function Client:disconnect(code, reason) end

---@param channel string
---@param options? perigee.SubscribeResult
function Client:subscribe(channel, options) end

---@param channel string
function Client:unsubscribe(channel) end

---@class perigee.ConnectContext: perigee.Client
---@field data any
---@field raw? string
---@field token? string
---@field name? string
---@field version? string

---@class perigee.Request
---@field channel string
---@field data any      decoded when it is first read
---@field raw? string   the bytes as they came
---@field token? string             subscribe: the one that came
---@field user_limited? boolean     subscribe: the channel's list names the user
---@field method? string            rpc
---@field tags? table<string, string>
---@field code? integer             unsubscribe
---@field reason? string            unsubscribe

---@class perigee.Override
---@field presence? boolean
---@field join_leave? boolean
---@field force_push_join_leave? boolean
---@field force_positioning? boolean
---@field force_recovery? boolean

---@class perigee.ConnectResult
---@field user? string
---@field info? any
---@field meta? any
---@field data? any
---@field expire_at? integer  Unix seconds
---@field channels? string[]
---@field subs? table<string, perigee.SubscribeResult>
---@field caps? table[]

---@class perigee.RefreshResult
---@field expire_at? integer
---@field expired? boolean
---@field info? any
---@field meta? any  of refresh, not of sub_refresh

---@class perigee.SubscribeResult
---@field info? any
---@field data? any
---@field expire_at? integer
---@field override? perigee.Override

---@class perigee.PublishResult
---@field data? any
---@field tags? table<string, string>
---@field skip_history? boolean
---@field idempotency_key? string
---@field delta? boolean
---@field version? integer
---@field version_epoch? string

-- --- server calls: the commands of the HTTP API; they wait ----------------------------------------

---@class perigee.PublishOptions: perigee.PublishResult
---@field b64data? string

---@param params perigee.PublishOptions|{ channel: string }
---@return { offset: integer?, epoch: string? }?
---@return perigee.Failure?
function perigee.publish(params) end

---@param params perigee.PublishOptions|{ channels: string[] }
---@return { responses: table[] }?
---@return perigee.Failure?
function perigee.broadcast(params) end

---@class perigee.SubscribeParams: perigee.SubscribeResult
---@field channel string
---@field user? string
---@field client? string
---@field session? string
---@field b64info? string
---@field b64data? string
---@field recover_since? { offset: integer, epoch: string }

---@param params perigee.SubscribeParams
---@return table?
---@return perigee.Failure?
function perigee.subscribe(params) end

---@param params { channel: string, user?: string, client?: string, session?: string }
---@return table?
---@return perigee.Failure?
function perigee.unsubscribe(params) end

---@param params { user?: string, client?: string, session?: string, whitelist?: string[], disconnect?: perigee.Disconnect }
---@return table?
---@return perigee.Failure?
function perigee.disconnect(params) end

---@param params { user?: string, client?: string, session?: string, expired?: boolean, expire_at?: integer, info?: any }
---@return table?
---@return perigee.Failure?
function perigee.refresh(params) end

---@class perigee.Member
---@field client string
---@field user string
---@field conn_info? any
---@field chan_info? any

---@overload fun(channel: string): table<string, perigee.Member>?, perigee.Failure?
---@param params { channel: string }
---@return { presence: table<string, perigee.Member> }?
---@return perigee.Failure?
function perigee.presence(params) end

---@param params { channel: string }
---@return { num_clients: integer, num_users: integer }?
---@return perigee.Failure?
function perigee.presence_stats(params) end

---@class perigee.Publication
---@field offset integer
---@field data any
---@field info? perigee.Member
---@field tags? table<string, string>

---@overload fun(channel: string): perigee.Publication[]?, perigee.Failure?
---@param params { channel: string, limit?: integer, since?: { offset: integer, epoch: string }, reverse?: boolean }
---@return { publications: perigee.Publication[], offset: integer, epoch: string }?
---@return perigee.Failure?
function perigee.history(params) end

---@param params { channel: string }
---@return table?
---@return perigee.Failure?
function perigee.history_remove(params) end

---@param params? { pattern?: string }
---@return { channels: table<string, { num_clients: integer }> }?
---@return perigee.Failure?
function perigee.channels(params) end

---@return { nodes: table[] }?
---@return perigee.Failure?
function perigee.info() end

---@param params { uid: string, expire_at?: integer }
---@return table?
---@return perigee.Failure?
function perigee.revoke_token(params) end

---@param params { user: string, issued_before?: integer, channel?: string, expire_at?: integer }
---@return table?
---@return perigee.Failure?
function perigee.invalidate_user_tokens(params) end

-- --- time -----------------------------------------------------------------------------------------

---Unix time in seconds, with a fraction.
---@return number
function perigee.now() end

---Waits; others go on.
---@param seconds number
function perigee.sleep(seconds) end

---Calls fn once, later, on this worker.
---@param seconds number
---@param fn fun()
function perigee.after(seconds, fn) end

---Calls fn again and again: on the first worker, or on each.
---@param seconds number
---@param fn fun()
---@param options? { each?: boolean }
function perigee.every(seconds, fn, options) end

-- --- helpers --------------------------------------------------------------------------------------

---@alias perigee.LogFields table<string, string|number|boolean>

---@class perigee.log
perigee.log = {}
---@param text string
---@param fields? perigee.LogFields  at most 16
function perigee.log.debug(text, fields) end

---@param text string
---@param fields? perigee.LogFields
function perigee.log.info(text, fields) end

---@param text string
---@param fields? perigee.LogFields
function perigee.log.warn(text, fields) end

---@param text string
---@param fields? perigee.LogFields
function perigee.log.error(text, fields) end

---JSON that is not decoded.
---@class perigee.Raw: userdata

---@class perigee.json
---@field null lightuserdata
perigee.json = {}

---Raises when the value has no JSON form.
---@param value any
---@return string
function perigee.json.encode(value) end

---@param text string|perigee.Raw
---@param raw_names? string[]  members of these names stay raw
---@return any value  nil: not JSON
---@return string? problem
function perigee.json.decode(text, raw_names) end

---Makes a table encode as an array, also when it is empty.
---@param list? any[]
---@return any[]
function perigee.json.array(list) end

---@param text string|perigee.Raw
---@return perigee.Raw?
---@return string? problem
function perigee.json.raw(text) end

---@param text string
---@param form? "hex"|"raw"
---@return string
function perigee.sha256(text, form) end

---HMAC-SHA256.
---@param key string
---@param text string
---@param form? "hex"|"raw"
---@return string
function perigee.hmac(key, text, form) end

---@class perigee.base64
perigee.base64 = {}
---@param bytes string
---@return string
function perigee.base64.encode(bytes) end

---@param text string
---@return string? bytes
---@return string? problem
function perigee.base64.decode(text) end

---@param bytes string
---@return string
function perigee.base64.encode_url(bytes) end

---@param text string
---@return string? bytes
---@return string? problem
function perigee.base64.decode_url(text) end

---@class perigee.JwtKeys
---@field hmac? string     secret
---@field rsa? string      PEM text of a public key or certificate, as the next ones
---@field ecdsa? string
---@field ed25519? string

---@class perigee.jwt
perigee.jwt = {}

---@param claims table
---@param key string  secret
---@param options? { alg?: "HS256"|"HS384"|"HS512", kid?: string }
---@return string token
function perigee.jwt.sign(claims, key, options) end

---@param token any  what is no token is not valid
---@param key string|perigee.JwtKeys  a string is an HMAC secret
---@param options? { audience?: string, issuer?: string, now?: number }
---@return table? claims
---@return string? problem
function perigee.jwt.verify(token, key, options) end

---@return string
function perigee.uuid() end

---@param name string
---@param default? string
---@return string?
function perigee.env(name, default) end

-- --- HTTP; calls wait -----------------------------------------------------------------------------

---@class perigee.HttpAnswer
---@field status integer
---@field headers table<string, string>  names in lower case
---@field body string

---@class perigee.HttpOptions
---@field method? string
---@field headers? table<string, string>
---@field body? string
---@field timeout? number  seconds

---@class perigee.http
perigee.http = {}

---@param url string
---@param options? perigee.HttpOptions
---@return perigee.HttpAnswer?
---@return string? problem
function perigee.http.get(url, options) end

---@param request perigee.HttpOptions|{ url: string }
---@return perigee.HttpAnswer?
---@return string? problem
function perigee.http.request(request) end

---Centrifugo's event proxies: each takes an endpoint or options, and gives a hook.
---@class perigee.proxy
perigee.proxy = {}

---@param options string|perigee.ProxyOptions
---@return fun(ctx: perigee.ConnectContext): any
function perigee.proxy.connect(options) end

---@param options string|perigee.ProxyOptions
---@return fun(client: perigee.Client): any
function perigee.proxy.refresh(options) end

---@param options string|perigee.ProxyOptions
---@return fun(client: perigee.Client, req: perigee.Request): any
function perigee.proxy.subscribe(options) end

---@param options string|perigee.ProxyOptions
---@return fun(client: perigee.Client, req: perigee.Request): any
function perigee.proxy.publish(options) end

---@param options string|perigee.ProxyOptions
---@return fun(client: perigee.Client, req: perigee.Request): any
function perigee.proxy.sub_refresh(options) end

---@param options string|perigee.ProxyOptions
---@return fun(client: perigee.Client, req: perigee.Request): any
function perigee.proxy.rpc(options) end

-- --- stores that all workers share ----------------------------------------------------------------

---@alias perigee.DictValue string|number|boolean

---@class perigee.Dict
local Dict = {}

---@param name string  the same store for the same name; at most 256
---@return perigee.Dict
function perigee.dict(name) end

---@param key string
---@return perigee.DictValue?
function Dict:get(key) end

---@param key string
---@param value perigee.DictValue
---@param ttl? number|string  seconds, or text such as "10m"; absent: for ever
---@return true?
---@return string? problem  the dict is full
function Dict:set(key, value, ttl) end

---@param key string
---@param value perigee.DictValue
---@param ttl? number|string
---@return boolean?  false: there is a value already
---@return string? problem
function Dict:add(key, value, ttl) end

---Adds n (1) to the number that is there, or to 0; ttl counts only when the key is new.
---@param key string
---@param n? number
---@param ttl? number|string
---@return number? sum
---@return string? problem
function Dict:incr(key, n, ttl) end

---@param key string
---@return boolean  was there one?
function Dict:delete(key) end

---@param prefix? string
---@return string[]  in no order
function Dict:keys(prefix) end

return perigee

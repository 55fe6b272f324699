/* Every message of the protocol with every field set, in both encodings, worked out from the tables
 * of the specification and not from our own: a number or a type that differs shows up here. */
#pragma once

static const struct wire_vector {
    const struct wire_desc *desc;
    const char *json;
    const char *hex;
} wire_vectors[] = {
    {&wire_desc_command,
     "{\"id\":4000000001,\"connect\":{\"token\":\"token-1\"},\"subscribe\":{\"channel\":\""
     "channel-1\"},\"unsubscribe\":{\"channel\":\"channel-1\"},\"publish\":{\"channel\":\""
     "channel-1\"},\"presence\":{\"channel\":\"channel-1\"},\"presence_stats\":{\"channel"
     "\":\"channel-1\"},\"history\":{\"channel\":\"channel-1\"},\"ping\":{},\"send\":{\"da"
     "ta\":{\"data\":[1,null]}},\"rpc\":{\"data\":{\"data\":[1,null]}},\"refresh\":{\"toke"
     "n\":\"token-1\"},\"sub_refresh\":{\"channel\":\"channel-1\"}}",
     "0881d0acf30e22090a07746f6b656e2d312a0b0a096368616e6e656c2d31320b0a096368616e6e656c2d"
     "313a0b0a096368616e6e656c2d31420b0a096368616e6e656c2d314a0b0a096368616e6e656c2d31520b"
     "0a096368616e6e656c2d315a0062130a117b2264617461223a5b312c6e756c6c5d7d6a130a117b226461"
     "7461223a5b312c6e756c6c5d7d72090a07746f6b656e2d317a0b0a096368616e6e656c2d31"},
    {&wire_desc_reply,
     "{\"id\":4000000001,\"error\":{\"code\":4000000001},\"push\":{\"id\":-1099511627777},"
     "\"connect\":{\"client\":\"client-1\"},\"subscribe\":{\"expires\":true},\"unsubscribe"
     "\":{},\"publish\":{},\"presence\":{\"presence\":{\"a\":{\"user\":\"user-1\",\"client"
     "\":\"\"},\"b\":{\"user\":\"\",\"client\":\"\"}}},\"presence_stats\":{\"num_clients\""
     ":4000000001,\"num_users\":0},\"history\":{\"publications\":[{\"data\":{\"data\":[4,n"
     "ull]}},{}],\"epoch\":\"\",\"offset\":0},\"ping\":{},\"rpc\":{\"data\":{\"data\":[1,n"
     "ull]}},\"refresh\":{\"client\":\"client-1\"},\"sub_refresh\":{\"expires\":true}}",
     "0881d0acf30e12060881d0acf30e220b08ffffffffffdfffffff012a0a0a08636c69656e742d31320208"
     "013a0042004a160a0d0a016112080a06757365722d310a050a0162120052060881d0acf30e5a170a1322"
     "117b2264617461223a5b342c6e756c6c5d7d0a0062006a130a117b2264617461223a5b312c6e756c6c5d"
     "7d720a0a08636c69656e742d317a020801"},
    {&wire_desc_error, "{\"code\":4000000001,\"message\":\"message-2\",\"temporary\":true}",
     "0881d0acf30e12096d6573736167652d321801"},
    {&wire_desc_emulation_request,
     "{\"node\":\"node-1\",\"session\":\"session-2\",\"data\":{\"data\":[3,null]}}",
     "0a066e6f64652d31120973657373696f6e2d321a117b2264617461223a5b332c6e756c6c5d7d"},
    {&wire_desc_push,
     "{\"id\":-1099511627777,\"channel\":\"channel-2\",\"pub\":{\"data\":{\"data\":[4,null"
     "]}},\"join\":{\"info\":{\"user\":\"user-1\",\"client\":\"\"}},\"leave\":{\"info\":{"
     "\"user\":\"user-1\",\"client\":\"\"}},\"unsubscribe\":{\"code\":4000000002},\"messag"
     "e\":{\"data\":{\"data\":[1,null]}},\"subscribe\":{\"recoverable\":true},\"connect\":"
     "{\"client\":\"client-1\"},\"disconnect\":{\"code\":4000000001},\"refresh\":{\"expire"
     "s\":true}}",
     "08ffffffffffdfffffff0112096368616e6e656c2d32221322117b2264617461223a5b342c6e756c6c5d"
     "7d2a0a0a080a06757365722d31320a0a080a06757365722d313a061082d0acf30e42130a117b22646174"
     "61223a5b312c6e756c6c5d7d4a020801520a0a08636c69656e742d315a060881d0acf30e62020801"},
    {&wire_desc_client_info,
     "{\"user\":\"user-1\",\"client\":\"client-2\",\"conn_info\":{\"conn_info\":[3,null]},"
     "\"chan_info\":{\"chan_info\":[4,null]}}",
     "0a06757365722d311208636c69656e742d321a167b22636f6e6e5f696e666f223a5b332c6e756c6c5d7d"
     "22167b226368616e5f696e666f223a5b342c6e756c6c5d7d"},
    {&wire_desc_publication,
     "{\"data\":{\"data\":[4,null]},\"info\":{\"user\":\"user-1\",\"client\":\"\"},\"offse"
     "t\":18446744073709551610,\"tags\":{\"k0\":\"v0\",\"k1\":\"v1\"},\"delta\":true,\"tim"
     "e\":-1099511627785,\"channel\":\"channel-10\",\"key\":\"key-11\",\"removed\":true,\""
     "score\":-8589934605,\"epoch\":\"epoch-14\",\"prev_data\":{\"prev_data\":[15,null]},"
     "\"version\":18446744073709551600}",
     "22117b2264617461223a5b342c6e756c6c5d7d2a080a06757365722d3130faffffffffffffffff013a08"
     "0a026b30120276303a080a026b3112027631400148f7ffffffffdfffffff01520a6368616e6e656c2d31"
     "305a066b65792d31316001689980808040720865706f63682d31347a177b22707265765f64617461223a"
     "5b31352c6e756c6c5d7d8001f0ffffffffffffffff01"},
    {&wire_desc_stream_position, "{\"offset\":18446744073709551615,\"epoch\":\"epoch-2\"}",
     "08ffffffffffffffffff01120765706f63682d32"},
    {&wire_desc_filter_node,
     "{\"op\":\"op-1\",\"key\":\"key-2\",\"cmp\":\"cmp-3\",\"val\":\"val-4\",\"vals\":[\"v"
     "als-0\",\"vals-1\"],\"nodes\":[{\"op\":\"op-1\"},{}]}",
     "0a046f702d3112056b65792d321a05636d702d33220576616c2d342a0676616c732d302a0676616c732d"
     "3132060a046f702d313200"},
    {&wire_desc_connect_request,
     "{\"token\":\"token-1\",\"data\":{\"data\":[2,null]},\"subs\":{\"a\":{\"channel\":\"c"
     "hannel-1\"},\"b\":{}},\"name\":\"name-4\",\"version\":\"version-5\",\"headers\":{\"k"
     "0\":\"v0\",\"k1\":\"v1\"},\"flag\":-1099511627783}",
     "0a07746f6b656e2d3112117b2264617461223a5b322c6e756c6c5d7d1a100a0161120b0a096368616e6e"
     "656c2d311a050a0162120022066e616d652d342a0976657273696f6e2d3532080a026b30120276303208"
     "0a026b311202763138f9ffffffffdfffffff01"},
    {&wire_desc_refresh_request, "{\"token\":\"token-1\"}", "0a07746f6b656e2d31"},
    {&wire_desc_subscribe_request,
     "{\"channel\":\"channel-1\",\"token\":\"token-2\",\"recover\":true,\"epoch\":\"epoch-"
     "6\",\"offset\":18446744073709551609,\"data\":{\"data\":[8,null]},\"positioned\":true"
     ",\"recoverable\":true,\"join_leave\":true,\"delta\":\"delta-12\",\"tf\":{\"op\":\"op"
     "-1\"},\"flag\":-1099511627790,\"type\":-15,\"phase\":-16,\"cursor\":\"cursor-17\",\""
     "limit\":-18,\"asc\":true}",
     "0a096368616e6e656c2d311207746f6b656e2d321801320765706f63682d3638f9ffffffffffffffff01"
     "42117b2264617461223a5b382c6e756c6c5d7d480150015801620864656c74612d31326a060a046f702d"
     "3170f2ffffffffdfffffff0178f1ffffffffffffffff018001f0ffffffffffffffff018a010963757273"
     "6f722d31379001eeffffffffffffffff01980101"},
    {&wire_desc_sub_refresh_request,
     "{\"channel\":\"channel-1\",\"token\":\"token-2\",\"type\":-3,\"track\":[{\"signature"
     "\":\"signature-1\"},{}],\"untrack\":[\"untrack-0\",\"untrack-1\"]}",
     "0a096368616e6e656c2d311207746f6b656e2d3218fdffffffffffffffff01220d0a0b7369676e617475"
     "72652d3122002a09756e747261636b2d302a09756e747261636b2d31"},
    {&wire_desc_track_batch, "{\"signature\":\"signature-1\",\"items\":[{\"key\":\"key-1\"},{}]}",
     "0a0b7369676e61747572652d3112070a056b65792d311200"},
    {&wire_desc_keyed_item, "{\"key\":\"key-1\",\"version\":18446744073709551614}",
     "0a056b65792d3110feffffffffffffffff01"},
    {&wire_desc_unsubscribe_request, "{\"channel\":\"channel-1\"}", "0a096368616e6e656c2d31"},
    {&wire_desc_publish_request,
     "{\"channel\":\"channel-1\",\"data\":{\"data\":[2,null]},\"type\":-3,\"key\":\"key-4"
     "\",\"removed\":true}",
     "0a096368616e6e656c2d3112117b2264617461223a5b322c6e756c6c5d7d18fdffffffffffffffff0122"
     "056b65792d342801"},
    {&wire_desc_presence_request, "{\"channel\":\"channel-1\"}", "0a096368616e6e656c2d31"},
    {&wire_desc_presence_stats_request, "{\"channel\":\"channel-1\"}", "0a096368616e6e656c2d31"},
    {&wire_desc_history_request,
     "{\"channel\":\"channel-1\",\"limit\":-7,\"since\":{\"offset\":18446744073709551615},"
     "\"reverse\":true}",
     "0a096368616e6e656c2d3138f9ffffffffffffffff01420b08ffffffffffffffffff014801"},
    {&wire_desc_ping_request, "{}", ""},
    {&wire_desc_rpc_request, "{\"data\":{\"data\":[1,null]},\"method\":\"method-2\"}",
     "0a117b2264617461223a5b312c6e756c6c5d7d12086d6574686f642d32"},
    {&wire_desc_send_request, "{\"data\":{\"data\":[1,null]}}",
     "0a117b2264617461223a5b312c6e756c6c5d7d"},
    {&wire_desc_connect_result,
     "{\"client\":\"client-1\",\"version\":\"version-2\",\"expires\":true,\"ttl\":40000000"
     "04,\"data\":{\"data\":[5,null]},\"subs\":{\"a\":{\"expires\":true},\"b\":{}},\"ping"
     "\":4000000007,\"pong\":true,\"session\":\"session-9\",\"node\":\"node-10\",\"time\":"
     "-1099511627787}",
     "0a08636c69656e742d31120976657273696f6e2d3218012084d0acf30e2a117b2264617461223a5b352c"
     "6e756c6c5d7d32070a01611202080132050a016212003887d0acf30e40014a0973657373696f6e2d3952"
     "076e6f64652d313058f5ffffffffdfffffff01"},
    {&wire_desc_refresh_result,
     "{\"client\":\"client-1\",\"version\":\"version-2\",\"expires\":true,\"ttl\":40000000"
     "04}",
     "0a08636c69656e742d31120976657273696f6e2d3218012084d0acf30e"},
    {&wire_desc_subscribe_result,
     "{\"expires\":true,\"ttl\":4000000002,\"recoverable\":true,\"epoch\":\"epoch-6\",\"pu"
     "blications\":[{\"data\":{\"data\":[4,null]}},{}],\"recovered\":true,\"offset\":18446"
     "744073709551607,\"positioned\":true,\"data\":{\"data\":[11,null]},\"was_recovering\""
     ":true,\"delta\":true,\"id\":-1099511627790,\"type\":-15,\"phase\":-16,\"cursor\":\"c"
     "ursor-17\",\"state\":[{\"data\":{\"data\":[4,null]}},{}],\"publish_debounce\":400000"
     "0019}",
     "08011082d0acf30e1801320765706f63682d363a1322117b2264617461223a5b342c6e756c6c5d7d3a00"
     "400148f7ffffffffffffffff0150015a127b2264617461223a5b31312c6e756c6c5d7d6001680170f2ff"
     "ffffffdfffffff0178f1ffffffffffffffff018001f0ffffffffffffffff018a0109637572736f722d31"
     "3792011322117b2264617461223a5b342c6e756c6c5d7d920100980193d0acf30e"},
    {&wire_desc_sub_refresh_result,
     "{\"expires\":true,\"ttl\":4000000002,\"items\":[{\"data\":{\"data\":[4,null]}},{}]}",
     "08011082d0acf30e1a1322117b2264617461223a5b342c6e756c6c5d7d1a00"},
    {&wire_desc_unsubscribe_result, "{}", ""},
    {&wire_desc_publish_result, "{}", ""},
    {&wire_desc_ping_result, "{}", ""},
    {&wire_desc_presence_result,
     "{\"presence\":{\"a\":{\"user\":\"user-1\",\"client\":\"\"},\"b\":{\"user\":\"\",\"cl"
     "ient\":\"\"}}}",
     "0a0d0a016112080a06757365722d310a050a01621200"},
    {&wire_desc_presence_stats_result, "{\"num_clients\":4000000001,\"num_users\":4000000002}",
     "0881d0acf30e1082d0acf30e"},
    {&wire_desc_history_result,
     "{\"publications\":[{\"data\":{\"data\":[4,null]}},{}],\"epoch\":\"epoch-2\",\"offset"
     "\":18446744073709551613}",
     "0a1322117b2264617461223a5b342c6e756c6c5d7d0a00120765706f63682d3218fdffffffffffffffff"
     "01"},
    {&wire_desc_rpc_result, "{\"data\":{\"data\":[1,null]}}",
     "0a117b2264617461223a5b312c6e756c6c5d7d"},
    {&wire_desc_join, "{\"info\":{\"user\":\"user-1\",\"client\":\"\"}}", "0a080a06757365722d31"},
    {&wire_desc_leave, "{\"info\":{\"user\":\"user-1\",\"client\":\"\"}}", "0a080a06757365722d31"},
    {&wire_desc_unsubscribe, "{\"code\":4000000002,\"reason\":\"reason-3\"}",
     "1082d0acf30e1a08726561736f6e2d33"},
    {&wire_desc_subscribe,
     "{\"recoverable\":true,\"epoch\":\"epoch-4\",\"offset\":18446744073709551611,\"positi"
     "oned\":true,\"data\":{\"data\":[7,null]}}",
     "0801220765706f63682d3428fbffffffffffffffff0130013a117b2264617461223a5b372c6e756c6c5d"
     "7d"},
    {&wire_desc_message, "{\"data\":{\"data\":[1,null]}}",
     "0a117b2264617461223a5b312c6e756c6c5d7d"},
    {&wire_desc_connect,
     "{\"client\":\"client-1\",\"version\":\"version-2\",\"data\":{\"data\":[3,null]},\"su"
     "bs\":{\"a\":{\"expires\":true},\"b\":{}},\"expires\":true,\"ttl\":4000000006,\"ping"
     "\":4000000007,\"pong\":true,\"session\":\"session-9\",\"node\":\"node-10\",\"time\":"
     "-1099511627787}",
     "0a08636c69656e742d31120976657273696f6e2d321a117b2264617461223a5b332c6e756c6c5d7d2207"
     "0a01611202080122050a0162120028013086d0acf30e3887d0acf30e40014a0973657373696f6e2d3952"
     "076e6f64652d313058f5ffffffffdfffffff01"},
    {&wire_desc_disconnect, "{\"code\":4000000001,\"reason\":\"reason-2\",\"reconnect\":true}",
     "0881d0acf30e1208726561736f6e2d321801"},
    {&wire_desc_refresh, "{\"expires\":true,\"ttl\":4000000002}", "08011082d0acf30e"},
};

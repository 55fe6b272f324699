/* perigee.jwt as Lua sees it; keys of every family meet tests/e2e/jwt_lua.test.mjs. */
#include "lib/script_fixture.h"

static struct script *with_body(const char *body)
{
    char config[2048];

    snprintf(config, sizeof config,
             "local perigee = require 'perigee'\nlocal jwt = perigee.jwt\n"
             "return { rpc = { run = function() %s end } }",
             body);
    return fixture_script(config);
}

static void gives(const char *body, const char *expected)
{
    fixture_gives(with_body(body), expected);
}

static void raises(const char *expression, const char *with)
{
    fixture_raises(with_body, expression, with);
}

static void what_is_signed_is_verified(void **state)
{
    gives("local t = jwt.sign({ sub = 'ann', n = 9007199254740993, list = { 1, 2 } }, 'key')"
          " local c = jwt.verify(t, 'key') return { c.sub, c.n, c.list }",
          "[\"ann\",9007199254740993,[1,2]]");
    gives("local t = jwt.sign({}, 'key', { alg = 'HS512', kid = 'k1' })"
          " local h = perigee.json.decode(perigee.base64.decode_url(t:match '^[^.]+'))"
          " return { h.alg, h.kid, h.typ }",
          "[\"HS512\",\"k1\",\"JWT\"]");
    gives("return { (jwt.verify(jwt.sign({}, 'key', { alg = 'HS384' }), { hmac = 'key' })) }",
          "[{}]");
    gives("return jwt.sign({ sub = '1' }, 'secret')",
          "\"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0."
          "8qZF8vbN3UpcanXFc-mPXJkOPN01-bRch8XX3rToP1U\"");
}

static void what_is_not_authentic_is_nil_and_a_message(void **state)
{
    static const char *const bad[] = {
        "nil",
        "42",
        "''",
        "'a.b.c'",
        "jwt.sign({}, 'other')",
        "jwt.sign({}, 'key') .. 'A'",
        "(jwt.sign({}, 'key'):gsub('^[^.]+', (perigee.base64.encode_url '{\"alg\":\"none\"}')))",
        "(jwt.sign({}, 'key'):gsub('[^.]+$', ''))",
        "perigee.base64.encode_url '{\"alg\":\"none\"}' .. '.e30.'",
        "('a'):rep(2^21)",
    };
    char body[512];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(body, sizeof body, "return { select(2, jwt.verify(%s, 'key')) }", bad[i]);
        gives(body, "[\"the token is not valid\"]");
    }
    /* The key says what it may verify, never the token. */
    gives("return { select(2, jwt.verify(jwt.sign({}, 'x'), { ed25519 = ([[-----BEGIN PUBLIC "
          "KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC "
          "KEY-----\n]]) })) }",
          "[\"the token is not valid\"]");
}

static void time_audience_and_issuer_are_checked(void **state)
{
    gives("local t = jwt.sign({ exp = perigee.now() + 60 }, 'k')"
          " return { jwt.verify(t, 'k') ~= nil, select(2, jwt.verify(t, 'k', { now = perigee.now()"
          " + 61 })) }",
          "[true,\"the token has expired\"]");
    gives("local t = jwt.sign({ nbf = 2000 }, 'k') return { jwt.verify(t, 'k') ~= nil,"
          " select(2, jwt.verify(t, 'k', { now = 1999.5 })) }",
          "[true,\"the token is not valid yet\"]");
    gives("local t = jwt.sign({ aud = { 'a', 'b' }, iss = 'i' }, 'k') return {"
          " jwt.verify(t, 'k', { audience = 'b', issuer = 'i' }) ~= nil,"
          " jwt.verify(t, 'k', { audience = 'c' }) ~= nil,"
          " jwt.verify(t, 'k', { issuer = 'x' }) ~= nil }",
          "[true,false,false]");
    gives("return { jwt.verify(jwt.sign({}, 'k'), 'k', { audience = 'a' }) ~= nil }", "[false]");
}

static void misuse_raises(void **state)
{
    raises("jwt.sign({}, '')", "the key is empty");
    raises("jwt.sign({}, { hmac = 'k' })", "string expected");
    raises("jwt.sign({ 1, 2 }, 'k')", "a table by name");
    raises("jwt.sign({ f = print }, 'k')", "no JSON form");
    raises("jwt.sign({}, 'k', { alg = 'RS256' })", "HS256, HS384 or HS512");
    raises("jwt.sign({}, 'k', { alg = 'none' })", "HS256, HS384 or HS512");
    raises("jwt.sign({}, 'k', { algorithm = 'HS256' })", "unknown field algorithm");
    raises("jwt.sign({}, 'k', { kid = '\\xff' })", "kid is not UTF-8");
    raises("jwt.sign({ s = ('x'):rep(1 << 20) }, 'k')", "the text is too long");
    raises("jwt.sign({ s = ('x'):rep(900000) }, 'k')", "longer than 1048576 bytes");
    raises("jwt.sign({}, '-----BEGIN PUBLIC KEY-----')",
           "PEM text; tokens are signed with a secret");
    raises("jwt.verify()", "value expected");
    raises("jwt.verify('x')", "table expected");
    raises("jwt.verify('x', '')", "the key is empty");
    raises("jwt.verify('x', '-----BEGIN PUBLIC KEY-----')", "PEM");
    raises("jwt.verify('x', { hmac = '-----BEGIN PUBLIC KEY-----' })", "PEM");
    raises("jwt.verify('x', {})", "there is no key");
    raises("jwt.verify('x', { hmac = '' })", "hmac is empty");
    raises("jwt.verify('x', { rsa = 'nonsense' })", "the rsa key is not PEM");
    raises("jwt.verify('x', { dsa = 'x' })", "unknown field dsa");
    raises("jwt.verify('x', 'k', { leeway = 5 })", "unknown field leeway");
    raises("jwt.verify('x', 'k', { now = 'soon' })", "Unix time");
    raises("jwt.verify('x', 'k', { now = 0 / 0 })", "Unix time");
}

static void many_keys_are_not_kept_for_ever(void **state)
{
    gives("local good = 0 for i = 1, 1000 do local key = 'key' .. i % 50"
          " if jwt.verify(jwt.sign({ i = i }, key), key).i == i then good = good + 1 end"
          " if i % 50 == 0 then perigee.sleep(0) end end"
          " return good",
          "1000");
}

static void the_time_limit_counts(void **state)
{
    struct script *s = with_body("local c = { s = ('x'):rep(500000) } local t = jwt.sign(c, 'k')"
                                 " while true do jwt.verify(t, 'k') end");

    assert_string_equal(fixture_call(s, "run"), "error 100 internal server error");
    assert_int_equal(script_stats(s).timeouts, 1);
    script_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_verified),
        cmocka_unit_test(what_is_not_authentic_is_nil_and_a_message),
        cmocka_unit_test(time_audience_and_issuer_are_checked),
        cmocka_unit_test(misuse_raises),
        cmocka_unit_test(many_keys_are_not_kept_for_ever),
        cmocka_unit_test(the_time_limit_counts),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}

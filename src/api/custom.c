/* Commands of config.lua: `api = { kick = function(params) … end }`. */
#include "api/api_types.h"

#include "base/log.h"
#include "codec/json.h"
#include "script/answer.h"
#include "script/hook.h"
#include "script/lua_json.h"

#include <lauxlib.h>

enum err api_push_custom(struct script *s, lua_State *co, struct str name, struct str params)
{
    struct str rest = params;

    if (!hook_push_api(s, co, name))
        return ERR_NOT_FOUND;
    /* as for the others: null is an empty object, and nothing else than an object will do */
    if (json_peek(&rest) == JSON_NULL && json_valid(params))
        lua_newtable(co);
    else if (json_peek(&rest) != JSON_OBJECT || lua_json_push(co, params) != OK)
        return ERR_SYNTAX;
    return OK;
}

/* Whoever called hears of an internal error only. */
static void log_no_error(lua_State *co, int idx, enum answer_kind kind, bool broken)
{
    size_t len;
    const char *text = lua_type(co, idx) == LUA_TSTRING ? lua_tolstring(co, idx, &len) : NULL;
    struct str cause = text ? str_of(text, len) : STR("nil and no error of perigee.error");

    if (kind == ANSWER_DISCONNECT)
        cause = STR("perigee.disconnect_code: there is nobody to disconnect");
    else if (broken)
        cause = STR("an error whose fields were changed");
    LOG_WITH(LOG_ERROR, "an API command of config.lua failed", LOG_S("cause", cause));
}

/* nil, perigee.error(…); perigee.error(…) alone; what a failed server call returned. */
static bool is_refusal(lua_State *co, int first, int n, struct api_reply *reply)
{
    struct answer answer;
    bool broken = false, failed = n >= 2 && lua_isnil(co, first);
    enum answer_kind kind = ANSWER_NONE;

    if (n == 0)
        return false;
    if (failed && answer_from_failure(co, first + 1, &answer))
        kind = ANSWER_ERROR;
    else
        kind = answer_at(co, failed ? first + 1 : first, &answer, &broken);
    if (kind == ANSWER_NONE && !broken && !failed)
        return false;
    if (kind != ANSWER_ERROR)
        log_no_error(co, failed ? first + 1 : first, kind, broken);
    reply->code = kind == ANSWER_ERROR ? answer.code : API_INTERNAL;
    reply->message = kind == ANSWER_ERROR ? answer.text : STR_NONE;
    return true;
}

void api_read_custom(lua_State *co, int first, int n, struct buf *out, struct api_reply *reply)
{
    const char *why = "";

    if (is_refusal(co, first, n, reply))
        return;
    if (n == 0 || lua_isnil(co, first)) {
        buf_add_lit(out, "{}");
    } else if (lua_json_encode(co, first, out, &why) != OK) {
        LOG_WITH(LOG_ERROR, "an API command's result has no JSON form", LOG_Z("cause", why));
        reply->code = API_INTERNAL;
    }
}

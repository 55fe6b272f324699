#include "bind/bind.h"

#include "bind/bind_api.h"
#include "bind/bind_client.h"
#include "bind/bind_dict.h"
#include "bind/bind_http.h"
#include "script/embedded.h"
#include "script/hook.h"

/* perigee.proxy, written in Lua over the rest of the module, which is on top of the stack. */
static void open_proxy(lua_State *L)
{
    embedded_push(L, "perigee.proxy", "new");
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "proxy");
}

void bind_open(struct script *s, lua_State *L)
{
    bind_api_open(s, L);
    bind_client_open(L);
    bind_http_open(L);
    bind_dict_open(L, core_of(script_worker(s))->node->dicts);
    open_proxy(L);
    hook_set_client_view(s, bind_client_push);
}

static void run_hook(struct core *core, enum hook which, const struct script *old)
{
    if (hook_is_set(core->script, 0, which))
        hook_run(core->script, 0, which, &(struct hook_request){.old = old}, NULL, NULL);
}

void bind_start(struct core *core)
{
    run_hook(core, HOOK_START, NULL);
}

void bind_reload(struct core *core, const struct script *old)
{
    run_hook(core, HOOK_RELOAD, old);
}

void bind_stop(struct core *core)
{
    run_hook(core, HOOK_STOP, NULL);
}

/* perigee run: a user's own Lua program with the perigee module at hand. argv[0] is the subcommand.
 */
#pragma once

int cli_run(int argc,
            char **argv); /* exit code: the program's; 1 it failed, 2 usage, configuration */

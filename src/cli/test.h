/* perigee test: runs a user's own tests of config.lua. argv[0] is the subcommand. */
#pragma once

int cli_test(int argc, char **argv); /* exit code: 0 passed, 1 failed, 2 usage, configuration */

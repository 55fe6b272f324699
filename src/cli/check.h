/* perigee check: validates a configuration. argv[0] is the subcommand. */
#pragma once

int cli_check(int argc, char **argv); /* exit code: 0 fine, 2 wrong usage or configuration */

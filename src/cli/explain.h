/* perigee explain: what a client may do in a channel, and what decided it. argv[0] is the
 * subcommand. */
#pragma once

int cli_explain(int argc, char **argv); /* exit code: 0 allowed, 1 denied, 2 usage, configuration */

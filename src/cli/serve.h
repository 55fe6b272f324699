/* perigee serve: the server itself. argv[0] is the subcommand. */
#pragma once

#include "cli/node.h"
#include "cli/options.h"

int cli_serve(int argc, char **argv); /* exit code: 0 stopped, 1 failed, 2 usage, configuration */

/* Log, pid file, port check, and then the node, for serve and dev. Fills in request->port. Logs the
 * warnings of o's configuration. */
int serve_settings(struct node_request *request, const struct options *o);

/* perigee dev: the server with generated secrets and a playground page, on loopback only. argv[0]
 * is the subcommand; exit code as serve's. */
#pragma once

int cli_dev(int argc, char **argv);

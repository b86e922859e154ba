/* The subcommands that live here: argv[0] is the subcommand's name; the exit status is returned.
 * 0 clean, 1 a finding, 2 usage or environment. */
#ifndef HG_FUZZ_COMMANDS_H
#define HG_FUZZ_COMMANDS_H

int hg_fuzz_main(int argc, char **argv);
int hg_reduce_main(int argc, char **argv);

#endif

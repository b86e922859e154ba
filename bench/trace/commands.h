/* `heapgauge show` and `heapgauge stat`: traces as text and as numbers. */
#ifndef HG_TRACE_COMMANDS_H
#define HG_TRACE_COMMANDS_H

/* Does what the command line says (argv[0] is "show"). Returns the exit status: 0, or 2 for usage
 * or a trace that can't be read; everything before the damage has been printed then. */
int hg_show_main(int argc, char **argv);

/* The same for "stat". */
int hg_stat_main(int argc, char **argv);

#endif

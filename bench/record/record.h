/* `heapgauge record`: runs a program and records its allocations as traces. */
#ifndef HG_RECORD_RECORD_H
#define HG_RECORD_RECORD_H

/* Does what the command line says (argv[0] is "record"). Returns the exit status: the program's
 * own, 128+n if signal n ended it, 2 for usage or environment. */
int hg_record_main(int argc, char **argv);

#endif

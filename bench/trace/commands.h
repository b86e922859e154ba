/* The commands that look at traces and make them of something else: show, stat, import, export, synth. */
#ifndef HG_TRACE_COMMANDS_H
#define HG_TRACE_COMMANDS_H

/* Does what the command line says (argv[0] is "show"). Returns the exit status: 0, or 2 for usage
 * or a trace that can't be read; everything before the damage has been printed then. */
int hg_show_main(int argc, char **argv);

/* The same for "stat". */
int hg_stat_main(int argc, char **argv);

/* The same for "import", "export" and "synth". */
int hg_import_main(int argc, char **argv);
int hg_export_main(int argc, char **argv);
int hg_synth_main(int argc, char **argv);

#endif

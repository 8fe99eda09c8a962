/* The program: what it does is in the library, the terminal is here. */
#include <cluarun.h>

#include "console.h"

int main(int argc, char **argv) {
  cluarun_set_console(console_open);
  return cluarun_main(argc, argv);
}

/* The program: everything it does is in the library. */
#include <cluarun.h>

int main(int argc, char **argv) {
  return cluarun_main(argc, argv);
}

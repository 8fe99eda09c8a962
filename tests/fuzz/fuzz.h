/* Fuzz targets: decode.c, and script.c for each target in Lua. Linked with
** libFuzzer (make fuzz), or with replay.c that shows them the inputs which are
** kept in corpus/ (make test). A target ends the process when something is
** wrong. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

/* A number, or a boolean, in one word of 64 bits, so that one store writes it.
**
** A double is its own bits. The NaNs with the sign bit that no computation
** yields hold the rest: integers of 50 bits, booleans, and the two words that
** say that the value lies elsewhere (a wider integer; a string).
*/
#ifndef CR_WORD_H
#define CR_WORD_H

#include <string.h>

#include "value.h"

#define CR_WORD_WIDE 0xfff9000000000000u
#define CR_WORD_TEXT 0xfffa000000000000u
#define CR_WORD_BOOLEAN 0xfffb000000000000u /* + 0 or 1 */
#define CR_WORD_INTEGER 0xfffc000000000000u /* + the low 50 bits */
#define CR_WORD_NAN 0x7ff8000000000000u     /* the only one; and its negative */
#define CR_WORD_SIGN 0x8000000000000000u

/* False: an integer that takes more than a word, or a string. */
static inline bool cr_word_pack(const struct cr_scalar *s, uint64_t *w) {
  int64_t top = INT64_C(1) << 49;
  switch (s->kind) {
    case CR_INTEGER:
      *w = CR_WORD_INTEGER | ((uint64_t)s->integer & ~CR_WORD_INTEGER);
      return s->integer >= -top && s->integer < top;
    case CR_FLOAT:
      memcpy(w, &s->number, sizeof *w);
      if (s->number != s->number) *w = CR_WORD_NAN | (*w & CR_WORD_SIGN);
      return true;
    case CR_BOOLEAN: *w = CR_WORD_BOOLEAN | s->boolean; return true;
    default: return false;
  }
}

/* Of a word that is neither WIDE nor TEXT. */
static inline void cr_word_unpack(uint64_t w, struct cr_scalar *out) {
  if (w >= CR_WORD_INTEGER) {
    out->kind = CR_INTEGER;
    out->integer = (int64_t)(w << 14) >> 14;
  } else if (w >= CR_WORD_BOOLEAN) {
    out->kind = CR_BOOLEAN;
    out->boolean = w & 1;
  } else {
    out->kind = CR_FLOAT;
    memcpy(&out->number, &w, sizeof w);
  }
}

#endif

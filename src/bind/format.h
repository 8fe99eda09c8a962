/* The bytes of a message: values one after the other, each a tag and what it
** needs. Numbers are in the machine's own form and unaligned; a message never
** leaves its family of processes.
**
**   INT1 INT4 INT8  the integer          FLOAT  the double
**   STR1 STR4 STR8  length, bytes
**   TABLE, OWNED    u32 list elements, u32 other pairs, the elements, the
**                   pairs; OWNED: then the metatable
**   CLASS           struct cr_class, u16 length and name, u64 length of the
**                   rest (0: none), the rest: u8 tag TABLE or OWNED and what
**                   follows one
**   FUNCTION        u8 number of upvalues, u64 length, u64 sum, dump; then each
**                   upvalue: a value, or UPVALUE, u64 place of the function
**                   that it is shared with and u8 its number there
**   NAME            u16 length and name (names.h)
**   GLOBALS
**   OBJECT          u32 number in the message's list of objects
**   ERROR           u8 which; LOST  u32 length, text
**   REFER           u64 place of a value that came before
**   REFUSED         u32 length and text: cannot be sent, but lies in a class
**                   that the receiver may have
**
** A place is the offset of a tag from the first value. The bit SHARED marks the
** tags that a REFER or UPVALUE leads to. It may lead into a class that was
** skipped; then that value is read from there at that moment, unless it was.
*/
#ifndef CR_FORMAT_H
#define CR_FORMAT_H

#include <stdint.h>
#include <string.h>

enum cr_tag {
  CR_TAG_NIL,
  CR_TAG_FALSE,
  CR_TAG_TRUE,
  CR_TAG_INT1,
  CR_TAG_INT4,
  CR_TAG_INT8,
  CR_TAG_FLOAT,
  CR_TAG_STR1,
  CR_TAG_STR4,
  CR_TAG_STR8,
  CR_TAG_TABLE,
  CR_TAG_OWNED,
  CR_TAG_CLASS,
  CR_TAG_FUNCTION,
  CR_TAG_UPVALUE,
  CR_TAG_NAME,
  CR_TAG_GLOBALS,
  CR_TAG_OBJECT,
  CR_TAG_ERROR,
  CR_TAG_LOST,
  CR_TAG_REFER,
  CR_TAG_REFUSED,
  CR_TAG_SHARED = 0x80
};

/* Sum of a dump: Lua does not check the bytecode that it loads. */
static inline uint64_t cr_sum(const unsigned char *p, size_t n) {
  uint64_t h = n * 0x9e3779b97f4a7c15u;
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    h = (h ^ w) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  for (; n > 0; p++, n--) h = (h ^ *p) * 0x100000001b3u;
  return h ^ (h >> 29);
}

#endif

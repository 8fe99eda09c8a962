/* The text in readline's buffer as a block of lines. Inside the screen. */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdbool.h>

/* What stands before all lines but the first. Copied. */
void block_prompt(const char *prompt2);
/* Readline's redisplay, with that in it. */
void block_redisplay(void);
/* Is there only white space before the cursor in its line? */
bool block_at_indent(void);
/* Move the cursor to the line above or below; false: there is none. */
bool block_up(void);
bool block_down(void);

#endif

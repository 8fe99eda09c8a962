/* The terminal has one writer at a time: readline in the thread that prompts,
** or the pump that brings the output of everybody else.
**
** Readline's state and the terminal are touched between screen_enter and
** screen_leave only. The pump lets the prompt go first, else a flood of output
** would leave no room for the keys. Inside, nobody waits for the interpreter
** lock: who holds that may be waiting for the pump.
*/
#ifndef SCREEN_H
#define SCREEN_H

enum screen_user { SCREEN_PROMPT, SCREEN_PUMP };

void screen_enter(enum screen_user user);
void screen_leave(void);
/* In a fork's child: nobody is inside. */
void screen_reset(void);

#endif

/* The readline library, loaded when a prompt opens and not when the program
** starts: scripts do without it, begin sooner, and have less to hand down at a
** fork.
**
** Here are the names that the prompt uses of it; readline_names.h lets it use
** them as if the library were linked in.
*/
#ifndef LAZY_READLINE_H
#define LAZY_READLINE_H

#include <stdio.h>

#include <readline/history.h>
#include <readline/readline.h>

/* clang-format off */
#define READLINE_NAMES(X) \
  X(add_history) X(add_history_time) X(clear_history) \
  X(emacs_standard_keymap) X(history_base) X(history_comment_char) \
  X(history_get) X(history_length) X(history_list) \
  X(history_multiline_entries) X(history_write_timestamps) X(read_history) \
  X(rl_attempted_completion_function) X(rl_attempted_completion_over) \
  X(rl_bind_key_in_map) X(rl_bind_keyseq) X(rl_bracketed_paste_begin) \
  X(rl_callback_handler_install) X(rl_callback_handler_remove) \
  X(rl_callback_read_char) X(rl_catch_signals) X(rl_catch_sigwinch) \
  X(rl_change_environment) X(rl_clear_visible_line) X(rl_complete) \
  X(rl_completion_append_character) X(rl_completion_display_matches_hook) \
  X(rl_completion_query_items) X(rl_completion_word_break_hook) X(rl_crlf) \
  X(rl_deprep_term_function) X(rl_deprep_terminal) X(rl_display_match_list) \
  X(rl_display_prompt) X(rl_end) X(rl_forced_update_display) \
  X(rl_function_of_keyseq) X(rl_get_next_history) X(rl_get_previous_history) \
  X(rl_get_screen_size) X(rl_getc_function) X(rl_initialize) \
  X(rl_insert_text) X(rl_instream) X(rl_last_func) X(rl_line_buffer) \
  X(rl_mark) X(rl_newline) X(rl_on_new_line) X(rl_outstream) X(rl_point) \
  X(rl_prep_term_function) X(rl_prep_terminal) X(rl_readline_name) \
  X(rl_readline_state) X(rl_redisplay) X(rl_redisplay_function) \
  X(rl_reset_screen_size) X(rl_resize_terminal) X(rl_stuff_char) \
  X(rl_variable_value) X(stifle_history) X(unstifle_history) \
  X(using_history) X(vi_insertion_keymap) X(vi_movement_keymap) \
  X(write_history)
/* clang-format on */

/* Where each of them lies. */
struct lazy_readline {
#define LAZY_MEMBER(name) __typeof__(name) *name;
  READLINE_NAMES(LAZY_MEMBER)
#undef LAZY_MEMBER
};
extern struct lazy_readline lazy_readline;

/* Loads the library unless that was done. Returns NULL, or why it cannot be
** used. */
const char *lazy_readline_load(void);

#endif

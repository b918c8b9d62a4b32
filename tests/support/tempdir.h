/* tempdir.h - a folder of one's own, for tests that write files.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TEMPDIR_H
#define TESTS_TEMPDIR_H

enum { TEMPDIR_PATH = 512 };

/* Makes an empty folder; path[] names it. Fails the test if it cannot. It lies under $TMPDIR; else in
 * memory (/dev/shm), for tests write and fsync hundreds of files; else under /tmp. */
void tempdir_make(char path[TEMPDIR_PATH]);

/* Removes the folder and all in it. */
void tempdir_remove(const char *path);

/* Entries in the folder, hidden ones too, without . and .. */
int tempdir_count(const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/* whole_file.c - a file that appears under its name whole or not at all. */
#include "runtime-demo/whole_file.h"

#include "runtime-demo/signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int whole_file_open(struct whole_file *file, const char *path, struct diag *diag)
{
	struct stat status;

	*file = (struct whole_file){.path = path};
	if (stat(path, &status) != 0 || S_ISREG(status.st_mode)) {
		if (asprintf(&file->part, "%s.part", path) < 0) {
			file->part = NULL;
			return diag_fail(diag, "cannot write '%s': out of memory", path);
		}
	}
	file->stream = fopen(file->part ? file->part : path, "wb");
	if (file->stream != NULL) {
		signals_unfinished_file(file->part);
		return 0;
	}
	diag_fail(diag, "cannot write '%s': %s", path, strerror(errno));
	free(file->part);
	file->part = NULL;
	return -1;
}

int whole_file_finish(struct whole_file *file, struct diag *diag)
{
	const int failed = fflush(file->stream) != 0 || ferror(file->stream);
	int result = 0;

	if (failed || (file->part != NULL && rename(file->part, file->path) != 0))
		result = diag_fail(diag, "cannot write '%s': %s", file->path, strerror(errno));
	if (result == 0 && file->part != NULL) {
		signals_unfinished_file(NULL);
		free(file->part);
		file->part = NULL;
	}
	whole_file_abandon(file);
	return result;
}

void whole_file_abandon(struct whole_file *file)
{
	if (file->stream != NULL)
		fclose(file->stream);
	if (file->part != NULL)
		remove(file->part);
	signals_unfinished_file(NULL);
	free(file->part);
	*file = (struct whole_file){0};
}

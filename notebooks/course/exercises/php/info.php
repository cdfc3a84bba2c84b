<?php
echo "PHP ", PHP_MAJOR_VERSION, " in ", php_sapi_name(), ", as ", posix_getpwuid(posix_geteuid())["name"], "\n";

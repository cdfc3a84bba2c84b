<?php
// Where the database is, the container is told by its environment.
foreach (['DB_HOST', 'DB_NAME', 'DB_USER', 'DB_PASSWORD'] as $name) {
    define($name, getenv($name));
}
// The address is whichever it was asked for at: the published port need not be known beforehand.
define('WP_HOME', 'http://' . $_SERVER['HTTP_HOST']);
define('WP_SITEURL', WP_HOME);
// It looks for updates nowhere; the image is what is updated.
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);

"""Containers, images, archives and backups that mean harm."""

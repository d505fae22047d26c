/** The first `most` names, and how many more there are: `users, orders and 12 more`. Empty for none. */
export function firstNames(names: readonly string[], most = 5): string {
  return names.length > most ? `${names.slice(0, most).join(', ')} and ${names.length - most} more` : names.join(', ');
}

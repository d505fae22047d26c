/** Which columns look like personal data: by their names, and by a sample of their values. Values are looked at and forgotten. */
import type { PersonalDataClass } from './findings';

/** Words of a column's name. Its parts are matched as whole words: `street` is an address, `streetcar_count` is not. */
const NAME_WORDS: Record<PersonalDataClass, readonly string[]> = {
  email: ['email', 'e mail', 'mail address', 'mailaddress', 'email address'],
  phone: ['phone', 'telephone', 'mobile', 'cell phone', 'tel', 'fax', 'msisdn', 'phone number'],
  name: ['first name', 'firstname', 'last name', 'lastname', 'surname', 'full name', 'fullname', 'given name', 'family name', 'middle name', 'maiden name', 'user name', 'username', 'display name', 'nickname', 'contact name', 'customer name'],
  address: ['street', 'address', 'address line', 'postal code', 'postcode', 'zip', 'zip code', 'zipcode', 'house number'],
  birth_date: ['birth date', 'birthdate', 'birthday', 'date of birth', 'dob', 'born', 'born on'],
  national_id: ['ssn', 'social security', 'national id', 'passport', 'passport number', 'tax id', 'nin', 'driver license', 'driving licence', 'cpf', 'nhs number'],
  bank_account: ['iban', 'bic', 'bank account', 'account number', 'sort code', 'routing number'],
  payment_card: ['card number', 'credit card', 'cardnumber', 'pan', 'cvv', 'card holder', 'cardholder'],
  ip_address: ['ip', 'ip address', 'ipaddress', 'ip addr', 'client ip', 'remote addr', 'last login ip'],
  credential: ['password', 'passwd', 'password hash', 'secret', 'api key', 'apikey', 'token', 'access token', 'refresh token', 'otp', 'pin'],
  health: ['diagnosis', 'blood type', 'allergies', 'medication', 'medical', 'disability', 'health'],
  location: ['latitude', 'longitude', 'lat', 'lng', 'geolocation', 'gps'],
};

/** `lastName`, `LAST_NAME` and `last-name` are the words `last name`. */
function wordsOf(column: string): string {
  return column.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').replaceAll(/[^\p{L}\p{N}]+/gu, ' ').trim().toLowerCase();
}

/** Classes that a column's name speaks of. */
export function classesOfName(column: string): PersonalDataClass[] {
  const words = ` ${wordsOf(column)} `;
  return (Object.keys(NAME_WORDS) as PersonalDataClass[]).filter((kind) => NAME_WORDS[kind].some((word) => words.includes(` ${word} `)));
}

const DIGITS_OF_CARD = /^\d(?:[ -]?\d){12,18}$/;
const IBAN = /^[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}$/;
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,190}\.[^\s@.]{2,24}$/;
const PHONE = /^(?:\+\d{1,3}[ .()/-]*|\(0?\d{2,5}\)[ .-]*|0)(?:\d[ .()/-]*){6,13}\d$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\/32)?$/;
const IPV6 = /^(?=.*::|(?:[0-9a-f]{1,4}:){7})[0-9a-f:]{3,39}(?:\/128)?$/i;
const SSN = /^(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}$/;
const PASSWORD_HASH = /^(?:\$2[aby]?\$\d{2}\$|\$argon2|\$pbkdf2|\$scrypt|pbkdf2_sha|\{(?:SSHA|bcrypt)\})/;

/** The class of one value, or null. */
export function classOfValue(value: string): PersonalDataClass | null {
  const text = value.trim();
  if (text.length < 6 || text.length > 320) return null;
  if (EMAIL.test(text)) return 'email';
  if (IPV4.test(text) || IPV6.test(text)) return 'ip_address';
  if (SSN.test(text)) return 'national_id';
  if (PASSWORD_HASH.test(text)) return 'credential';
  if (DIGITS_OF_CARD.test(text) && passesLuhn(text)) return 'payment_card';
  if (IBAN.test(text) && passesIban(text)) return 'bank_account';
  return PHONE.test(text) ? 'phone' : null;
}

/** Check digit of payment cards (ISO/IEC 7812). */
function passesLuhn(text: string): boolean {
  const digits = text.replaceAll(/\D/g, '');
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at]);
    sum += at % 2 === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2;
  }
  return sum % 10 === 0 && /[^0]/.test(digits);
}

/** Check digits of bank accounts (ISO 13616): the number modulo 97 is 1. */
function passesIban(text: string): boolean {
  const plain = text.replaceAll(' ', '');
  let rest = 0;
  for (const c of plain.slice(4) + plain.slice(0, 4)) for (const digit of /\d/.test(c) ? c : String(c.charCodeAt(0) - 55)) rest = (rest * 10 + Number(digit)) % 97;
  return rest === 1;
}

/** A class counts when this share of the values that are there are of it, and at least so many. */
const SHARE_MIN = 0.5;
const VALUES_MIN = 3;

/** The class that most values of a column are of; null where no class is. */
export function classOfValues(values: readonly (string | null)[]): { kind: PersonalDataClass; share: number } | null {
  const counts = new Map<PersonalDataClass, number>();
  let there = 0;
  for (const value of values) {
    if (value === null || value === '') continue;
    there += 1;
    const kind = classOfValue(value);
    if (kind) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const [best] = [...counts].sort((a, b) => b[1] - a[1]);
  if (!best || best[1] < VALUES_MIN || best[1] / there < SHARE_MIN) return null;
  return { kind: best[0], share: best[1] / there };
}
